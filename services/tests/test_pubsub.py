"""Pub/Sub, by the hand of google-cloud-pubsub: Google's fake for what is true, our server for load."""

import json
import subprocess
from pathlib import Path

import grpc
import pytest
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.types import PublisherOptions
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from ..proxy import Proxy
from ..tls import TlsProxy
from . import journeys

PROJECT = "trial"


class Subscription:
    """A topic and a subscription of it that were made for a test, and what sends events there."""

    def __init__(self, address: str, name: str, ordered: bool = False, exactly_once: bool = False):
        self.address, self.name = address, name
        self._ordered = ordered
        channel = grpc.insecure_channel(address)
        options = PublisherOptions(enable_message_ordering=ordered)
        self._publisher = PublisherClient(publisher_options=options, transport=PublisherGrpcTransport(channel=channel))
        self._topic = f"projects/{PROJECT}/topics/{name}"
        self._publisher.create_topic(name=self._topic)
        SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)).create_subscription(
            {
                "name": f"projects/{PROJECT}/subscriptions/{name}",
                "topic": self._topic,
                "ack_deadline_seconds": 10,
                "enable_message_ordering": ordered,
                "enable_exactly_once_delivery": exactly_once,
            }
        )

    def source(self, address: str | None = None, more: str = "", scheme: str = "http") -> str:
        return f"""
connector = "pubsub"
project = "{PROJECT}"
subscription = "{self.name}"
endpoint = "{scheme}://{address or self.address}"
{more}"""

    def send(self, events) -> None:
        sent = [
            self._publisher.publish(
                self._topic,
                json.dumps(event).encode(),
                ordering_key=event["key"] if self._ordered else "",
                number=str(event["id"]),
            )
            for event in events
        ]
        for message in sent:
            message.result(60)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory) -> Path:
    """A service account's key, as Google gives them out. Tokens are made from it without asking anybody."""
    folder = tmp_path_factory.mktemp("account")
    made = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / "key.pem"]
    subprocess.run(made, check=True, capture_output=True)
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": (folder / "key.pem").read_text(),
        "client_email": f"trial@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
    }
    (folder / "account.json").write_text(json.dumps(account))
    return folder / "account.json"


@pytest.fixture
def name(request) -> str:
    return request.node.name.replace("[", "-").rstrip("]")


@pytest.fixture
def fake(serve, name):
    return Subscription(serve("pubsub").address, name)


@pytest.fixture
def loaded(serve, name):
    return Subscription(serve("pubsub-load").address, name)


def test_plain(trial, loaded):
    journeys.plain(trial(loaded.source(), loaded.send))


def test_killed(trial, loaded):
    journeys.killed(trial(loaded.source(), loaded.send))


def test_network(trial, serve, loaded):
    with Proxy(to=serve("pubsub-load").port) as proxy:
        journeys.unconnected(trial(loaded.source(proxy.address), loaded.send), proxy)


@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall], ids=["refused", "stalled"])
def test_outage(trial, serve, loaded, fault):
    with Proxy(to=serve("pubsub-load").port) as proxy:
        # What a broken stream held comes again late, when its lease is over.
        time = 'max_delay = "10s"\nidle_after = "6s"'
        journeys.outage(trial(loaded.source(proxy.address), loaded.send, time=time), proxy, fault)


def test_backlog(trial, loaded):
    """A backlog that is long beside what may be out at a time. As no lease runs out before the manifest that lets go of
    it, each message is handed out once."""
    backlog = trial(loaded.source(), loaded.send)
    backlog.send(200_000)
    backlog.daemon.start()
    report = backlog.settle(within=300)
    assert report["read"] == backlog.sent


def test_exactly_once(trial, serve, name):
    strict = Subscription(serve("pubsub-load").address, name, exactly_once=True)
    journeys.killed(trial(strict.source(), strict.send))


def test_exactly_once_network(trial, serve, name):
    server = serve("pubsub-load")
    strict = Subscription(server.address, name, exactly_once=True)
    with Proxy(to=server.port) as proxy:
        journeys.unconnected(trial(strict.source(proxy.address), strict.send), proxy)


def test_tls(trial, serve, loaded, key_file):
    with TlsProxy(to=serve("pubsub-load").port, protocols=("h2",)) as proxy:
        source = loaded.source(proxy.address, f'credentials = "{key_file}"', scheme="https")
        journeys.plain(trial(source, loaded.send, {"SSL_CERT_FILE": str(proxy.ca)}), count=4_000)


def test_tls_of_a_stranger(trial, serve, loaded, key_file):
    """An authority that nobody has vouched for: the check says what to do, and a run says it too and waits."""
    with TlsProxy(to=serve("pubsub-load").port, protocols=("h2",)) as proxy:
        source = loaded.source(proxy.address, f'credentials = "{key_file}"', scheme="https")
        suspicious = trial(source, loaded.send)
        checked = suspicious.daemon.check("--connect")
        assert checked.returncode != 0 and "SSL_CERT_FILE" in checked.stderr, checked.stderr
        suspicious.daemon.start()
        suspicious.daemon.until(lambda: "SSL_CERT_FILE" in suspicious.daemon.tail(), "the daemon to say so")
        suspicious.daemon.stop()


def test_fake_plain(trial, fake):
    journeys.plain(trial(fake.source(), fake.send), count=400)


def test_metadata(trial, serve):
    ordered = Subscription(serve("pubsub").address, "test_metadata", ordered=True)
    columns = '["_message_id", "_key", "_ingest_time", "_headers"]'
    with_columns = trial(ordered.source(more=f"metadata = {columns}"), ordered.send)
    journeys.plain(with_columns, count=200)
    rows = with_columns.daemon.rows(
        "events",
        """SELECT count(*), count(DISTINCT _message_id), bool_and(_key = key),
                  bool_and(_headers['number'] = id::VARCHAR), bool_and(_ingest_time > now() - INTERVAL 1 HOUR)
           FROM lake""",
    )
    assert rows == [(200, 200, True, True, True)]
