"""Pub/Sub, by the hand of google-cloud-pubsub: Google's fake for what is true, our server for load."""

import json

import grpc
import pytest
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.types import PublisherOptions
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from ..proxy import Proxy
from . import journeys

PROJECT = "trial"


class Subscription:
    """A topic and a subscription of it that were made for a test, and what sends events there."""

    def __init__(self, address: str, name: str, ordered: bool = False):
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
            }
        )

    def source(self, address: str | None = None, more: str = "") -> str:
        return f"""
connector = "pubsub"
project = "{PROJECT}"
subscription = "{self.name}"
endpoint = "http://{address or self.address}"
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


@pytest.fixture
def fake(serve, request):
    return Subscription(serve("pubsub").address, request.node.name)


@pytest.fixture
def loaded(serve, request):
    return Subscription(serve("pubsub-load").address, request.node.name)


def test_plain(trial, loaded):
    journeys.plain(trial(loaded.source(), loaded.send))


def test_killed(trial, loaded):
    journeys.killed(trial(loaded.source(), loaded.send))


def test_network(trial, serve, loaded):
    with Proxy(to=serve("pubsub-load").port) as proxy:
        journeys.unconnected(trial(loaded.source(proxy.address), loaded.send), proxy)


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
