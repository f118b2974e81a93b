"""Kafka's protocol: as it is, and as the Kafka endpoint of Event Hubs speaks it."""

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ..kafka import Kafka
from .stream import Stream

PARTITIONS = 4


class KafkaStream(Stream):
    most = 3_000_000

    def __init__(self, compression: str):
        super().__init__()
        self.name = f"kafka, {compression}" if compression != "none" else "kafka"
        self.topic = f"orders-{compression}"
        self._compression = compression

    def server(self) -> Kafka:
        return Kafka()

    @property
    def given(self) -> dict[str, str]:
        return self.running.variables()

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        admin = AdminClient({"bootstrap.servers": self.given["WATERSHED_KAFKA"]})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result()
        sizes = {"linger.ms": 20, "batch.size": 500_000, "queue.buffering.max.messages": 1_000_000}
        brokers = {"bootstrap.servers": self.given["WATERSHED_KAFKA"], "compression.type": self._compression}
        producer = Producer(brokers | sizes)
        for record in records:
            while True:
                try:
                    producer.produce(self.topic, record)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(120) == 0

    def source(self) -> str:
        return f'connector = "kafka"\nbrokers = "{self.given["WATERSHED_KAFKA"]}"\ntopic = "{self.topic}"'

    def client(self) -> dict[str, str]:
        return {"bootstrap.servers": self.given["WATERSHED_KAFKA"]}

    def bare(self) -> int:
        """librdkafka in Python: its threads fetch, and the messages are only counted."""
        settings = {"group.id": "bare", "enable.auto.commit": False, "queued.max.messages.kbytes": 131_072}
        consumer = Consumer(self.client() | settings)
        consumer.assign([TopicPartition(self.topic, number, 0) for number in range(PARTITIONS)])
        seen = 0
        while seen < len(self.records):
            seen += len(consumer.consume(100_000, timeout=0.1))
        consumer.close()
        return seen


class EventHubsByKafka(KafkaStream):
    """Over TLS, with a connection string."""

    def __init__(self) -> None:
        super().__init__("none")
        self.name, self.topic = "eventhubs, by Kafka's protocol", "orders-hub"

    def source(self) -> str:
        return f"""
connector = "eventhubs"
protocol = "kafka"
hub = "{self.topic}"
connection_string = "{self.given["WATERSHED_KAFKA_CONNECTION_STRING"]}"
endpoint = "{self.given["WATERSHED_KAFKA_SASL_SSL"]}"
tls.ca = "{self.given["WATERSHED_KAFKA_CA"]}\""""

    def client(self) -> dict[str, str]:
        return {
            "bootstrap.servers": self.given["WATERSHED_KAFKA_SASL_SSL"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "$ConnectionString",
            "sasl.password": self.given["WATERSHED_KAFKA_CONNECTION_STRING"],
            "ssl.ca.location": self.given["WATERSHED_KAFKA_CA"],
        }
