"""Event Hubs over AMQP."""

import itertools
import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub._pyamqp import _platform

from ..eventhubs import HUB, PARTITIONS, EventHubs
from .stream import Stream

# The client sets every TCP option anew as it finds it, and on loopback segments are larger than may be set.
_platform.KNOWN_TCP_OPTS.discard("TCP_MAXSEG")

KEY = "YmVuY2g="
BATCH = 2_000
PREFETCH = 3_000
"""As the program's own."""


class EventHubsStream(Stream):
    name = "eventhubs, AMQP"
    most = 300_000

    def server(self) -> EventHubs:
        return EventHubs()

    def _connection(self) -> str:
        access = f"SharedAccessKeyName=bench;SharedAccessKey={KEY}"
        return f"Endpoint=sb://{self.running.address};{access};UseDevelopmentEmulator=true"

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        partitions = itertools.cycle(map(str, range(PARTITIONS)))
        with EventHubProducerClient.from_connection_string(self._connection(), eventhub_name=HUB) as producer:
            for start in range(0, len(records), BATCH):
                events = [EventData(record) for record in records[start : start + BATCH]]
                producer.send_batch(events, partition_id=next(partitions))

    def source(self) -> str:
        return f"""
connector = "eventhubs"
hub = "{HUB}"
connection_string = "Endpoint=sb://localhost/;SharedAccessKeyName=bench;SharedAccessKey={KEY}"
endpoint = "amqp://{self.running.address}"
prefetch = {PREFETCH}"""

    def bare(self) -> int:
        """Microsoft's client for Python, whose AMQP is Python too."""
        seen, whole = itertools.count(1), threading.Event()

        def take(_, events) -> None:
            for _ in events:
                if next(seen) == len(self.records):
                    whole.set()

        client = EventHubConsumerClient.from_connection_string(self._connection(), "$Default", eventhub_name=HUB)
        options = {"starting_position": "-1", "max_batch_size": BATCH, "prefetch": PREFETCH}
        reading = threading.Thread(target=client.receive_batch, args=(take,), kwargs=options, daemon=True)
        reading.start()
        assert whole.wait(240)
        client.close()
        reading.join()
        return len(self.records)
