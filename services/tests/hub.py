"""A hub of our double, and Microsoft's azure-eventhub before it: what sends, and what else reads."""

import itertools
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub._pyamqp import _platform

from ..eventhubs import HUB, PARTITIONS, EventHubs
from ..waiting import until

# The client sets every TCP option anew as it finds it, and on loopback segments are larger than may be set.
_platform.KNOWN_TCP_OPTS.discard("TCP_MAXSEG")

SECRETS = {"KEY": "dHJpYWwta2V5"}

GROUP = "$Default"

NAMESPACE = "localhost"
"""As the daemon knows it."""


class Hub:
    """A server with one hub, and what sends events to it."""

    def __init__(self, server: EventHubs):
        self.server = server
        self._producer = self.producer()
        self._partitions = itertools.cycle(map(str, range(PARTITIONS)))

    def connection(self, policy: str = "trial") -> str:
        access = f"SharedAccessKeyName={policy};SharedAccessKey={SECRETS['KEY']}"
        return f"Endpoint=sb://{self.server.address};{access};UseDevelopmentEmulator=true"

    def producer(self) -> EventHubProducerClient:
        return EventHubProducerClient.from_connection_string(self.connection(), eventhub_name=HUB)

    def consumer(self, group: str = GROUP, hub: str = HUB, policy: str = "trial", **more) -> EventHubConsumerClient:
        place = {"consumer_group": group, "eventhub_name": hub, "retry_total": 0}
        return EventHubConsumerClient.from_connection_string(self.connection(policy), **place, **more)

    def source(self, address: str | None = None, more: str = "", scheme: str = "amqp") -> str:
        return f"""
connector = "eventhubs"
hub = "{HUB}"
connection_string = "Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName=trial;SharedAccessKey=${{KEY}}"
endpoint = "{scheme}://{address or self.server.address}"
{more}"""

    def sink(self, address: str | None = None, more: str = "", scheme: str = "amqp", policy: str = "sender") -> str:
        """A policy that may only send is enough."""
        return f"""
connector = "eventhubs"
hub = "{HUB}"
connection_string = "Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName={policy};SharedAccessKey=${{KEY}}"
endpoint = "{scheme}://{address or self.server.address}"
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
        self._producer = self.producer()
        partitions = self._producer.get_partition_ids()
        return partitions if len(partitions) > PARTITIONS else []

    def newest(self) -> dict[str, int]:
        """By partition, the sequence number of its newest event."""
        ask = self._producer.get_partition_properties
        return {name: ask(name)["last_enqueued_sequence_number"] for name in map(str, range(PARTITIONS))}

    def events(self) -> Iterator[tuple[str, EventData]]:
        """Every event up to the end, partition by partition, in its order; and in which partition it is."""
        for partition, last in self.newest().items():
            if last < 0:
                continue
            with reading(self.consumer(), partition_id=partition, starting_position="-1") as events:
                number = -1
                while number < last:
                    event = events.get(timeout=60)
                    assert isinstance(event, EventData), event
                    number = event.sequence_number
                    yield partition, event

    def close(self) -> None:
        self._producer.close()


def data(event) -> EventData:
    made = EventData(json.dumps(event))
    made.properties = {"number": str(event["id"])}
    return made


@contextmanager
def reading(client: EventHubConsumerClient, **options) -> Iterator[queue.Queue]:
    """Reads beside the body; gives the events as they come, and the first error in place of one."""
    events: queue.Queue = queue.Queue()

    def fail(_context, error) -> None:
        events.put(error)
        client.close()

    def take(_context, batch: list[EventData]) -> None:
        for event in batch:
            events.put(event)

    # In batches: one by one, a partition that is silent holds the others up after each.
    options |= {"on_event_batch": take, "on_error": fail}
    reader = threading.Thread(target=client.receive_batch, kwargs=options, daemon=True)
    reader.start()
    try:
        yield events
    finally:
        client.close()
        reader.join(30)
