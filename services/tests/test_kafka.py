"""Apache Kafka, by the hand of confluent-kafka."""

import json

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from . import journeys

SECURED = {
    "plain": 'mechanism = "PLAIN", username = "${USER_NAME}", password = "${PASSWORD}"',
    "scram-256": 'mechanism = "SCRAM-SHA-256", username = "${USER_NAME}", password = "${PASSWORD}"',
    "scram-512": 'mechanism = "SCRAM-SHA-512", username = "${USER_NAME}", password = "${PASSWORD}"',
    "connection-string": 'mechanism = "PLAIN", username = "$ConnectionString", password = "${CONNECTION_STRING}"',
}


@pytest.fixture(scope="session")
def kafka(serve):
    return serve("kafka")


class Topic:
    """A topic that was made for a test, and what sends events to it."""

    def __init__(self, brokers: str, name: str, partitions: int):
        self.brokers, self.name = brokers, name
        self.encode = json.dumps
        self._admin = AdminClient({"bootstrap.servers": brokers})
        self._admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
        # A broker that comes back is found at once, not after the seconds that a client waits in the end.
        patience = {"reconnect.backoff.max.ms": 200}
        self._producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True} | patience)

    def source(self, brokers: str | None = None, more: str = "") -> str:
        return f'connector = "kafka"\nbrokers = "{brokers or self.brokers}"\ntopic = "{self.name}"\n{more}'

    def grow(self, partitions: int) -> None:
        self._admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result()

    def send(self, events) -> None:
        produce(self._producer, self.name, events, self.encode)


def produce(producer: Producer, topic: str, events, encode=json.dumps) -> None:
    """Sends events, and waits until the broker has them all."""
    failures = []
    for event in events:
        producer.produce(
            topic,
            encode(event),
            key=event["key"],
            headers={"number": str(event["id"])},
            on_delivery=lambda error, _: error and failures.append(error),
        )
    assert producer.flush(60) == 0 and not failures, failures


@pytest.fixture
def topic(kafka, request):
    return Topic(kafka.address, request.node.name.replace("[", "-").rstrip("]"), 3)


def test_plain(trial, topic):
    journeys.plain(trial(topic.source(), topic.send))


def test_killed(trial, topic):
    journeys.killed(trial(topic.source(), topic.send))


def test_network(trial, kafka, topic):
    with kafka.proxy() as proxy:
        journeys.unconnected(trial(topic.source(proxy.address), topic.send), proxy)


def test_outage(trial, kafka, topic):
    with kafka.proxy() as proxy:
        journeys.outage(trial(topic.source(proxy.address), topic.send, time=journeys.IN_REAL_TIME), proxy)


def test_broker_restarts(trial, kafka, topic):
    def killed():
        kafka.kill()
        kafka.start()

    journeys.disturbed(trial(topic.source(), topic.send), kafka.restart, killed)


def grow(growing, topic: Topic) -> None:
    """Half of the events are there before there are more partitions."""
    growing.send(5_000)
    growing.daemon.start()
    growing.until_counted()
    topic.grow(7)
    # A producer of its own, which knows of the new partitions.
    fresh = Producer({"bootstrap.servers": topic.brokers})
    growing.sender = lambda events: produce(fresh, topic.name, events)
    growing.send(5_000)
    growing.settle()


def test_partitions_grow(trial, topic):
    grow(trial(topic.source(more='properties = { "topic.metadata.refresh.interval.ms" = "500" }'), topic.send), topic)


def test_several_topics(trial, kafka):
    topics = [Topic(kafka.address, f"several-{name}", 2) for name in ("a", "b", "c")]

    def send(events):
        for number, topic in enumerate(topics):
            topic.send(events[number :: len(topics)])

    source = f'connector = "kafka"\nbrokers = "{kafka.address}"\ntopic_pattern = "several-[abc]"'
    journeys.plain(trial(source, send), count=6_000)


def test_transactions(trial, topic):
    """What was aborted is not there, and what is open is not there yet."""
    producer = Producer({"bootstrap.servers": topic.brokers, "transactional.id": "trial"})
    producer.init_transactions(30)
    noise = [{"id": -1, "ts": "2026-03-01T00:00:00Z", "key": "aborted", "amount": 1.0}] * 50

    def send(events):
        producer.begin_transaction()
        produce(producer, topic.name, noise)
        producer.abort_transaction()
        producer.begin_transaction()
        produce(producer, topic.name, events)
        producer.commit_transaction()

    journeys.killed(trial(topic.source(), send), kills=5)


def test_metadata(trial, topic):
    columns = '["_topic", "_partition", "_offset", "_key", "_ingest_time", "_headers"]'
    with_columns = trial(topic.source(more=f"metadata = {columns}"), topic.send)
    journeys.plain(with_columns, count=3_000)
    rows = with_columns.daemon.rows(
        "events",
        """SELECT count(*), count(DISTINCT (_partition, _offset)), bool_and(_key = key),
                  bool_and(_topic = 'test_metadata'), bool_and(_headers['number'] = id::VARCHAR),
                  bool_and(_ingest_time > now() - INTERVAL 1 HOUR)
           FROM lake""",
    )
    assert rows == [(3_000, 3_000, True, True, True, True)]


def test_start_latest(trial, kafka):
    """What was there before the first start is left out; what came while the daemon was away is not."""
    topic = Topic(kafka.address, "test_start_latest", 1)
    latest = trial(topic.source(more='start = "latest"'), topic.send)
    latest.send(1_000)
    with latest.load():
        latest.daemon.start()
        latest.until_more()
        latest.daemon.kill()
        first = latest.daemon.rows("events", "SELECT min(id) FROM lake")[0][0]
    assert first >= 1_000
    latest.daemon.start()
    latest.until_counted(latest.sent - first)
    latest.daemon.stop()
    assert latest.daemon.rows("events", "SELECT id FROM lake ORDER BY id") == [(n,) for n in range(first, latest.sent)]


@pytest.mark.parametrize("way", SECURED)
def test_sasl(trial, kafka, topic, way):
    found = kafka.variables()
    secrets = {
        "USER_NAME": found["WATERSHED_KAFKA_USER"],
        "PASSWORD": found["WATERSHED_KAFKA_PASSWORD"],
        "CONNECTION_STRING": found["WATERSHED_KAFKA_CONNECTION_STRING"],
    }
    security = f'tls = {{ ca = "{found["WATERSHED_KAFKA_CA"]}" }}\nsasl = {{ {SECURED[way]} }}'
    source = topic.source(found["WATERSHED_KAFKA_SASL_SSL"], security)
    journeys.plain(trial(source, topic.send, secrets), count=2_000)


def test_client_certificate(trial, kafka, topic):
    found = kafka.variables()
    files = {name: found[f"WATERSHED_KAFKA_{name.upper()}"] for name in ("ca", "cert", "key")}
    tls = ", ".join(f'{name} = "{path}"' for name, path in files.items())
    source = topic.source(found["WATERSHED_KAFKA_SSL"], f"tls = {{ {tls} }}")
    journeys.plain(trial(source, topic.send), count=2_000)
