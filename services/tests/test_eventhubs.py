"""Event Hubs over AMQP, by the hand of azure-eventhub. The double forgets, so each test has one of its own."""

import itertools
import json

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub._pyamqp import _platform

from ..eventhubs import HUB, PARTITIONS, EventHubs
from ..proxy import Proxy
from ..waiting import until
from . import journeys

# The client sets every TCP option anew as it finds it, and on loopback segments are larger than may be set.
_platform.KNOWN_TCP_OPTS.discard("TCP_MAXSEG")

SECRETS = {"KEY": "dHJpYWwta2V5"}


class Hub:
    """A server with one hub, and what sends events to it."""

    def __init__(self, server: EventHubs):
        self.server = server
        self._producer = self._connect()
        self._partitions = itertools.cycle(map(str, range(PARTITIONS)))

    def _connect(self) -> EventHubProducerClient:
        access = f"SharedAccessKeyName=trial;SharedAccessKey={SECRETS['KEY']}"
        connection = f"Endpoint=sb://{self.server.address};{access};UseDevelopmentEmulator=true"
        return EventHubProducerClient.from_connection_string(connection, eventhub_name=HUB)

    def source(self, address: str | None = None, more: str = "") -> str:
        return f"""
connector = "eventhubs"
hub = "{HUB}"
connection_string = "Endpoint=sb://localhost/;SharedAccessKeyName=trial;SharedAccessKey=${{KEY}}"
endpoint = "amqp://{address or self.server.address}"
{more}"""

    def send(self, events) -> None:
        """Each batch to the next partition."""
        self._producer.send_batch([data(event) for event in events], partition_id=next(self._partitions))

    def send_by_key(self, events) -> None:
        """Each event where its key belongs."""
        by_key = sorted(events, key=lambda event: event["key"])
        for key, group in itertools.groupby(by_key, key=lambda event: event["key"]):
            self._producer.send_batch([data(event) for event in group], partition_key=key)

    def grow(self) -> None:
        """Adds two partitions, and sends there too from now on."""
        self.server.grow()
        partitions = until(self._grown, "more partitions")
        self._partitions = itertools.cycle(partitions)

    def _grown(self) -> list[str]:
        # A client asks for the partitions once.
        self._producer.close()
        self._producer = self._connect()
        partitions = self._producer.get_partition_ids()
        return partitions if len(partitions) > PARTITIONS else []

    def close(self) -> None:
        self._producer.close()


def data(event) -> EventData:
    made = EventData(json.dumps(event))
    made.properties = {"number": str(event["id"])}
    return made


@pytest.fixture
def hub():
    with EventHubs() as server:
        made = Hub(server)
        yield made
        made.close()


def test_plain(trial, hub):
    journeys.plain(trial(hub.source(), hub.send, SECRETS))


def test_killed(trial, hub):
    journeys.killed(trial(hub.source(), hub.send, SECRETS))


def test_network(trial, hub):
    with Proxy(to=hub.server.port) as proxy:
        journeys.unconnected(trial(hub.source(proxy.address), hub.send, SECRETS), proxy)


def test_detached(trial, hub):
    journeys.disturbed(trial(hub.source(), hub.send, SECRETS), hub.server.detach, hub.server.detach)


def test_partitions_grow(trial, hub):
    growing = trial(hub.source(more='refresh = "1s"'), hub.send, SECRETS)
    growing.send(4_000)
    growing.daemon.start()
    growing.until_counted()
    hub.grow()
    growing.send(6_000)
    growing.settle()


def test_metadata(trial, hub):
    columns = '["_partition", "_offset", "_sequence", "_key", "_ingest_time", "_headers"]'
    with_columns = trial(hub.source(more=f"metadata = {columns}"), hub.send_by_key, SECRETS)
    journeys.plain(with_columns, count=400)
    rows = with_columns.daemon.rows(
        "events",
        """SELECT count(*), count(DISTINCT (_partition, _offset)), count(DISTINCT (_partition, _sequence)),
                  bool_and(_key = key), bool_and(_headers['number'] = id::VARCHAR),
                  bool_and(_ingest_time > now() - INTERVAL 1 HOUR)
           FROM lake""",
    )
    assert rows == [(400, 400, 400, True, True, True)]
