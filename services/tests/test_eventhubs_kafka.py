"""Event Hubs by its Kafka endpoint, which is played by Apache Kafka: TLS, and a connection string as the password."""

import pytest

from ..kafka import CONNECTION_STRING, Kafka
from . import journeys
from .test_kafka import Topic, grow

SECRETS = {"CONNECTION_STRING": CONNECTION_STRING}


@pytest.fixture(scope="session")
def kafka(serve) -> Kafka:
    return serve("kafka")


class Hub(Topic):
    """A topic that is read as a hub."""

    def __init__(self, kafka: Kafka, name: str, partitions: int):
        super().__init__(kafka.address, name, partitions)
        self._found = kafka.variables()

    def source(self, address: str | None = None, more: str = "") -> str:
        return f"""
connector = "eventhubs"
protocol = "kafka"
hub = "{self.name}"
connection_string = "${{CONNECTION_STRING}}"
endpoint = "{address or self._found["WATERSHED_KAFKA_SASL_SSL"]}"
tls = {{ ca = "{self._found["WATERSHED_KAFKA_CA"]}" }}
{more}"""


@pytest.fixture
def hub(kafka, request):
    return Hub(kafka, f"hub-{request.node.name}", 3)


def test_plain(trial, hub):
    journeys.plain(trial(hub.source(), hub.send, SECRETS))


def test_killed(trial, hub):
    journeys.killed(trial(hub.source(), hub.send, SECRETS))


def test_network(trial, kafka, hub):
    with kafka.secured_proxy() as proxy:
        journeys.unconnected(trial(hub.source(proxy.address), hub.send, SECRETS), proxy)


def test_partitions_grow(trial, hub):
    grow(trial(hub.source(more='refresh = "1s"'), hub.send, SECRETS), hub)


def test_untrusted(trial, hub):
    """Without the authority nothing is read, and the check says what to give."""
    source = "\n".join(line for line in hub.source().splitlines() if not line.startswith("tls"))
    checked = trial(source, hub.send, SECRETS).daemon.check("--connect")
    assert checked.returncode != 0 and "certificate verify failed" in checked.stderr, checked.stderr
