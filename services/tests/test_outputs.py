"""Rows that leave as messages: each event once at the other end, by the hand of a client that is not ours, whatever dies."""

import hashlib
import hmac
import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from ..ports import LOOPBACK
from ..postgres import PASSWORD, Postgres
from ..proxy import Proxy
from ..throttle import HalfTaking
from ..tls import TlsProxy
from ..trial import Growing, Trial, make
from . import journeys
from .test_kinesis import KEYS_GIVEN, REGION, Stream
from .test_pubsub import PROJECT, Subscription

KILLS = 12
PARTITIONS = 3


@pytest.fixture
def leaving(trial, tmp_path: Path):
    """Makes a trial over a file that grows, of which all rows go to another sink beside the lake."""
    events = Growing(tmp_path)

    def prepared(sink: str, secrets: dict[str, str] | None = None) -> Trial:
        return sent_out(trial(events.source, events.send, secrets, top=f"[sinks.out]\n{sink}"))

    return prepared


def sent_out(trial: Trial) -> Trial:
    """Has all rows go to the sink `out`, beside the lake."""
    sql = 'sql = "SELECT * FROM events"'
    trial.daemon.rewrite(f'sink = "lake"\n{sql}', f'sinks = ["lake", "out"]\n{sql}')
    return trial


def assert_each_once(trial: Trial, rows: list[dict]) -> None:
    """The rows that came out are the events that went in, each once and whole."""
    times = Counter(row["id"] for row in rows)
    missing = [number for number in range(trial.sent) if number not in times]
    doubled = [number for number, count in times.items() if count > 1]
    assert not missing and not doubled, f"{len(missing)} missing: {missing[:5]}; {len(doubled)} doubled: {doubled[:5]}"
    for row in rows:
        event = make(row["id"], trial.begin)
        assert (row["key"], row["amount"]) == (event["key"], event["amount"])
        assert set(row) == set(event)


# Kafka.


@pytest.fixture(scope="session")
def kafka(serve):
    return serve("kafka")


class Topic:
    """A topic that was made for a test, and what reads it."""

    def __init__(self, brokers: str, name: str):
        self.brokers, self.name = brokers, name
        admin = AdminClient({"bootstrap.servers": brokers})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result()

    def sink(self, brokers: str | None = None, more: str = "") -> str:
        return f'connector = "kafka"\nbrokers = "{brokers or self.brokers}"\ntopic = "{self.name}"\nkey = "key"\n{more}'

    def messages(self, isolation: str = "read_committed") -> list[tuple[int, str, dict]]:
        """Partition, key and row of every message up to the end."""
        settings = {"bootstrap.servers": self.brokers, "group.id": "reader", "enable.auto.commit": False}
        consumer = Consumer(settings | {"isolation.level": isolation, "enable.partition.eof": True})
        consumer.assign([TopicPartition(self.name, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        found, ended = [], set()
        while len(ended) < PARTITIONS:
            message = consumer.poll(60)
            assert message is not None, "no message, and no end of a partition"
            if message.error() is None:
                found.append((message.partition(), message.key().decode(), json.loads(message.value())))
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
        consumer.close()
        return found

    def assert_each_once(self, trial: Trial) -> None:
        messages = self.messages()
        assert_each_once(trial, [row for _, _, row in messages])
        assert all(key == row["key"] for _, key, row in messages)
        partitions: dict[str, set[int]] = {}
        for partition, key, _ in messages:
            partitions.setdefault(key, set()).add(partition)
        assert all(len(found) == 1 for found in partitions.values()), "a key in two partitions"
        ids: dict[int, list[int]] = {}
        for partition, _, row in messages:
            ids.setdefault(partition, []).append(row["id"])
        assert all(found == sorted(found) for found in ids.values()), "out of order within a partition"


@pytest.fixture
def topic(kafka, request):
    return Topic(kafka.address, request.node.name.replace("[", "-").rstrip("]"))


def test_kafka_killed(leaving, topic):
    trial = leaving(topic.sink())
    journeys.killed(trial, KILLS)
    topic.assert_each_once(trial)


def test_kafka_killed_with_small_epochs(leaving, topic):
    """Rows wait for later epochs, and some of them are on their way whenever the daemon dies."""
    trial = leaving(topic.sink(more="max_epoch_bytes = 10_000"))
    journeys.killed(trial, KILLS)
    topic.assert_each_once(trial)


def test_kafka_network(leaving, kafka, topic):
    with kafka.proxy() as proxy:
        trial = leaving(topic.sink(proxy.address))
        journeys.unconnected(trial, proxy)
    topic.assert_each_once(trial)


def test_kafka_broker_killed(leaving, kafka, topic):
    def killed():
        kafka.kill()
        kafka.start()

    trial = leaving(topic.sink())
    journeys.disturbed(trial, kafka.restart, killed)
    topic.assert_each_once(trial)


def test_kafka_zombie(leaving, topic):
    """A daemon that was stopped in its tracks wakes up when another has gone on."""
    trial = leaving(topic.sink())
    journeys.zombie(trial)
    topic.assert_each_once(trial)


def test_kafka_secured(leaving, kafka, topic):
    found = kafka.variables()
    secrets = {"USER_NAME": found["WATERSHED_KAFKA_USER"], "PASSWORD": found["WATERSHED_KAFKA_PASSWORD"]}
    security = (
        f'tls = {{ ca = "{found["WATERSHED_KAFKA_CA"]}" }}\n'
        'sasl = { mechanism = "SCRAM-SHA-512", username = "${USER_NAME}", password = "${PASSWORD}" }'
    )
    trial = leaving(topic.sink(found["WATERSHED_KAFKA_SASL_SSL"], security), secrets)
    journeys.plain(trial, count=2_000)
    topic.assert_each_once(trial)


def test_kafka_checked(leaving, topic):
    right = leaving(topic.sink()).daemon.check("--connect")
    assert right.returncode == 0 and f'kafka topic "{topic.name}" with 3 partitions' in right.stdout, right
    wrong = leaving(topic.sink().replace(topic.name, "nowhere")).daemon.check("--connect")
    assert wrong.returncode == 2 and 'kafka topic "nowhere" does not exist' in wrong.stderr, wrong
    wrong = leaving(topic.sink().replace('key = "key"', 'key = "kez"')).daemon.check()
    assert wrong.returncode == 2 and '`key` names "kez", which is no column' in wrong.stderr, wrong


def test_kafka_messages_too_large(leaving, topic):
    """What a broker does not take is told, with what to do."""
    trial = leaving(topic.sink(more='properties = { "message.max.bytes" = 1000 }'))
    whole = trial.sender
    trial.sender = lambda events: whole([event | {"key": "k" * 2_000} for event in events])
    trial.send(1)
    trial.daemon.start()
    trial.daemon.until(lambda: "a row is larger than is taken" in trial.daemon.tail(), "what to do")


# Web servers.

SECRET = "whsec-trial-53c1"
TOKEN = "token-trial-9d02"
SECRETS = {"HOOK_SECRET": SECRET, "HOOK_TOKEN": TOKEN}


class Hook:
    """A web server that believes nobody: it checks the signature, and knows what it has by the idempotency key."""

    def __init__(self, failing: float = 0):
        """`failing`: the share of requests that are answered by 503, or by silence, half of them taken nevertheless."""
        self.failing = failing
        self.taken: dict[str, list[dict]] = {}
        self.requests = 0
        self.repeated = 0
        self.refused: list[str] = []
        self.lock = threading.Lock()
        self._chance = random.Random(1)
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def sink(self, port: int | None = None, more: str = "batch_rows = 50") -> str:
        url = f"http://{LOOPBACK}:{port or self.port}/hook"
        secrets = 'secret = "${HOOK_SECRET}"\nheaders = { X-Token = "${HOOK_TOKEN}" }'
        return f'connector = "http"\nurl = "{url}"\n{secrets}\ntimeout = "2s"\n{more}'

    def rows(self) -> list[dict]:
        return [row for rows in self.taken.values() for row in rows]

    def take(self, headers, body: bytes) -> int:
        """The status of the answer; zero for silence."""
        signed = dict(part.split("=") for part in headers["x-watershed-signature"].split(","))
        expected = hmac.new(SECRET.encode(), signed["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signed["v1"]) or abs(int(signed["t"]) - time.time()) > 300:
            self.refused.append("the signature is wrong")
            return 400
        if headers["x-token"] != TOKEN:
            self.refused.append("the token is wrong")
            return 401
        if headers["content-type"] == "application/json":
            rows = json.loads(body)
        else:
            rows = [json.loads(line) for line in body.decode().splitlines()]
        with self.lock:
            self.requests += 1
            fails = self._chance.random() < self.failing
            if fails and self._chance.random() < 0.5:
                return 503
            known = self.taken.setdefault(headers["idempotency-key"], rows)
            self.repeated += known is not rows
            if known != rows:
                self.refused.append("other rows under the same key")
            return self._chance.choice([0, 503]) if fails else 204

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = hook.take(self.headers, body)
                if not status:
                    self.close_connection = True
                    return
                self.send_response_only(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_HEAD(self):
                self.send_response_only(405)
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture
def hooked():
    """Makes web servers, and looks at the end whether anything was wrong with what they got."""
    made: list[Hook] = []

    def make_hook(failing: float = 0) -> Hook:
        made.append(Hook(failing))
        return made[-1]

    yield make_hook
    for hook in made:
        hook.close()
        assert not hook.refused, hook.refused[:3]


@pytest.mark.parametrize("format", ["ndjson", "json"])
def test_http(leaving, hooked, format):
    hook = hooked()
    trial = leaving(hook.sink(more=f'format = "{format}"\nbatch_rows = 50'), SECRETS)
    journeys.plain(trial, count=4_000)
    assert_each_once(trial, hook.rows())
    assert hook.repeated == 0 and max(map(len, hook.taken.values())) == 50


def test_http_killed(leaving, hooked):
    hook = hooked()
    trial = leaving(hook.sink(), SECRETS)
    journeys.killed(trial, KILLS)
    assert_each_once(trial, hook.rows())


def test_http_killed_while_the_server_fails(leaving, hooked):
    hook = hooked(failing=0.2)
    trial = leaving(hook.sink(more="batch_rows = 50\nmax_epoch_bytes = 10_000"), SECRETS)
    journeys.killed(trial, KILLS)
    assert_each_once(trial, hook.rows())
    assert hook.repeated > 0, "nothing was repeated, so nothing was shown"


def test_http_network(leaving, hooked):
    hook = hooked()
    with Proxy(to=hook.port) as proxy:
        trial = leaving(hook.sink(proxy.port), SECRETS)
        journeys.unconnected(trial, proxy)
    assert_each_once(trial, hook.rows())


def test_http_encrypted(leaving, hooked):
    hook = hooked()
    with TlsProxy(to=hook.port) as proxy:
        sink = hook.sink(proxy.port).replace("http://", "https://")
        trial = leaving(f'{sink}\ntls = {{ ca = "{proxy.ca}" }}', SECRETS)
        journeys.plain(trial, count=1_000)
        stranger = leaving(sink, SECRETS).daemon.check("--connect")
    assert_each_once(trial, hook.rows())
    assert stranger.returncode != 0 and "certificate" in stranger.stderr, stranger


def test_the_verdict_sees_a_server_that_counts_repetitions(leaving, hooked):
    """Proof of the proof: rows come again, and only the key tells."""
    hook = hooked(failing=0.2)
    every: list[dict] = []
    take = hook.take

    def counting(headers, body: bytes) -> int:
        every.extend(json.loads(line) for line in body.decode().splitlines())
        return take(headers, body)

    hook.take = counting
    trial = leaving(hook.sink(), SECRETS)
    journeys.plain(trial, count=2_000)
    assert_each_once(trial, hook.rows())
    with pytest.raises(AssertionError, match=r"0 missing: \[\]; [1-9]\d* doubled"):
        assert_each_once(trial, every)


def test_http_checked(leaving, hooked):
    trial = leaving(hooked().sink(), SECRETS)
    right = trial.daemon.check("--connect")
    assert right.returncode == 0 and "405 Method Not Allowed to HEAD; no rows were sent" in right.stdout, right
    shown = right.stdout + right.stderr
    assert SECRET not in shown and TOKEN not in shown


def test_http_refused(leaving, hooked):
    """A server that will never take the rows ends the run, and no secret is in what is said."""
    hook = hooked()
    trial = leaving(hook.sink(), SECRETS | {"HOOK_SECRET": "whsec-another"})
    trial.send(10)
    trial.daemon.start()
    assert trial.daemon.wait() == 1
    told = trial.daemon.tail()
    assert "400 Bad Request, so that it will never take these rows" in told and "whsec" not in told
    assert set(hook.refused) == {"the signature is wrong"} and not hook.taken
    hook.refused.clear()


# PostgreSQL.


@pytest.fixture(scope="session")
def postgres(serve):
    if Postgres.binaries() is None:
        pytest.skip("there is no PostgreSQL here")
    return serve("postgres")


class Table:
    """A table that was made for a test; psql looks at it."""

    def __init__(self, server, name: str, key: str = ""):
        self.server, self.name = server, name
        columns = "key text, id bigint, ts timestamptz, amount double precision, came timestamptz DEFAULT now()"
        server.psql(f"CREATE TABLE {name} ({columns}{key})")

    def sink(self, address: str | None = None, more: str = "") -> str:
        url = self.server.url(address=address).replace(f":{PASSWORD}@", "@")
        secret = 'password = "${PG_PASSWORD}"'
        return f'connector = "postgres"\nurl = "{url}"\n{secret}\ntable = "{self.name}"\n{more}'

    def assert_each_once(self, trial: Trial) -> None:
        found = self.server.psql(
            f"SELECT json_build_object('id', id, 'ts', ts, 'key', key, 'amount', amount) FROM {self.name}"
        )
        assert_each_once(trial, [json.loads(line) for line in found.splitlines()])


PG_SECRETS = {"PG_PASSWORD": PASSWORD}


@pytest.fixture(params=["", ", PRIMARY KEY (id)"], ids=["added", "replaced"])
def table(postgres, request):
    name = request.node.name.replace("[", "_").rstrip("]")
    return Table(postgres, name, request.param)


def test_postgres_killed(leaving, table):
    trial = leaving(table.sink(more="max_epoch_bytes = 10_000"), PG_SECRETS)
    journeys.killed(trial, KILLS)
    table.assert_each_once(trial)


def test_postgres_network(leaving, postgres):
    table = Table(postgres, "test_postgres_network")
    with Proxy(to=postgres.port) as proxy:
        trial = leaving(table.sink(proxy.address), PG_SECRETS)
        journeys.unconnected(trial, proxy)
    table.assert_each_once(trial)


def test_postgres_server_killed(leaving, postgres):
    def killed():
        postgres.kill()
        postgres.start()

    table = Table(postgres, "test_postgres_server_killed")
    trial = leaving(table.sink(), PG_SECRETS)
    journeys.disturbed(trial, postgres.restart, killed)
    table.assert_each_once(trial)


def test_postgres_encrypted(leaving, postgres):
    table = Table(postgres, "test_postgres_encrypted")
    ca = postgres.variables()["WATERSHED_POSTGRES_CA"]
    trial = leaving(table.sink(more=f'tls = {{ ca = "{ca}" }}'), PG_SECRETS)
    trial.send(100)
    trial.daemon.start()
    trial.until_counted()
    ours = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'watershed'"
    assert postgres.psql(f"SELECT bool_and(ssl) {ours}") == "t"
    trial.settle()
    table.assert_each_once(trial)
    stranger = leaving(table.sink(more="tls = true"), PG_SECRETS).daemon.check("--connect")
    assert stranger.returncode != 0 and "certificate" in stranger.stderr, stranger


def test_postgres_checked(leaving, postgres):
    table = Table(postgres, "test_postgres_checked", ", PRIMARY KEY (key)")
    right = leaving(table.sink(), PG_SECRETS).daemon.check("--connect")
    assert right.returncode == 0 and "rows replace others of the same key" in right.stdout, right
    wrong = leaving(table.sink().replace(table.name, "nowhere"), PG_SECRETS).daemon.check("--connect")
    assert wrong.returncode == 2 and "make it, as by CREATE TABLE" in wrong.stderr, wrong
    wrong = leaving(table.sink(), {"PG_PASSWORD": "another-41f7"}).daemon.check("--connect")
    assert wrong.returncode == 2 and "check the user in `url`" in wrong.stderr, wrong
    assert "another-41f7" not in wrong.stderr + wrong.stdout


# Kinesis.


@pytest.fixture(scope="session")
def kinesalite(serve):
    return serve("kinesalite")


class Records:
    """A stream that was made for a test, and what reads it."""

    def __init__(self, address: str, name: str):
        self.stream = Stream.make(address, name, shards=3)

    def sink(self, address: str | None = None, more: str = "", name: str | None = None, key: bool = True) -> str:
        stream, address = self.stream, address or self.stream.address
        keys = f'{KEYS_GIVEN}\nid_field = "record"' + ('\nkey = "key"' if key else "")
        where = f'stream = "{name or stream.name}"\nendpoint = "http://{address}"\naws_region = "{REGION}"'
        return f'connector = "kinesis"\n{where}\n{keys}\n{more}'

    def records(self) -> list[tuple[str, str, bytes]]:
        """Shard, partition key and data of every record up to the end."""
        client, found = self.stream.client, []
        for shard in (shard["ShardId"] for shard in client.list_shards(StreamName=self.stream.name)["Shards"]):
            asked = {"StreamName": self.stream.name, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = client.get_shard_iterator(**asked)["ShardIterator"]
            while True:
                answer = client.get_records(ShardIterator=iterator)
                found += [(shard, record["PartitionKey"], record["Data"]) for record in answer["Records"]]
                iterator = answer["NextShardIterator"]
                if not answer["Records"]:
                    break
        return found

    def assert_each_once(self, trial: Trial, keyed: bool = True) -> int:
        """Told apart by their ids, and each the same however often it came. Gives how many came again."""
        records = self.records()
        known: dict[str, tuple[str, str, bytes]] = {}
        for record in records:
            row = json.loads(record[2])
            assert known.setdefault(row["record"], record) == record, "a repetition is another record"
            assert record[1] == row["key" if keyed else "record"]
        rows = [json.loads(data) for _, _, data in known.values()]
        for row in rows:
            del row["record"]
        assert_each_once(trial, rows)
        return len(records) - len(known)


@pytest.fixture
def records(kinesalite, request):
    return Records(kinesalite.address, request.node.name.replace("[", "-").rstrip("]"))


def test_kinesis_killed(leaving, records):
    trial = leaving(records.sink(more='max_epoch_bytes = "10kB"'))
    journeys.killed(trial, KILLS)
    records.assert_each_once(trial)


def test_kinesis_without_key(leaving, records):
    """Records are spread over the shards, and their partition keys tell repetitions."""
    trial = leaving(records.sink(key=False))
    journeys.killed(trial, KILLS)
    records.assert_each_once(trial, keyed=False)
    shares = Counter(shard for shard, _, _ in records.records())
    assert len(shares) == 3 and min(shares.values()) > trial.sent / 6, shares


def test_kinesis_network(leaving, kinesalite, records):
    with Proxy(to=kinesalite.port) as proxy:
        trial = leaving(records.sink(proxy.address))
        journeys.unconnected(trial, proxy)
    records.assert_each_once(trial)


def test_kinesis_throttled(leaving, kinesalite, records):
    """Of each request half is refused, and only that is sent again; where nobody says what was taken, all of it is."""
    with HalfTaking(to=kinesalite.port, share=0.5) as half:
        trial = leaving(records.sink(half.address))
        journeys.killed(trial, 4, rate=200)
        assert half.refused > trial.sent / 2 and half.silenced > 0
    assert records.assert_each_once(trial) > 0, "nothing was repeated, so nothing was shown"


def test_kinesis_checked(leaving, kinesalite, records):
    right = leaving(records.sink()).daemon.check("--connect")
    assert right.returncode == 0 and f"in {REGION}, active: 3 open shards; nothing was written" in right.stdout, right
    wrong = leaving(records.sink(name=records.stream.name + "s")).daemon.check("--connect")
    assert wrong.returncode == 2 and f"did you mean {records.stream.name}?" in wrong.stderr, wrong
    wrong = leaving(records.sink().replace('id_field = "record"', 'id_field = "amount"')).daemon.check()
    assert wrong.returncode == 2 and "a column already" in wrong.stderr, wrong
    assert not records.records()


def test_kinesis_records_too_large(leaving, records):
    """What the stream does not take is told, with what to do."""
    trial = leaving(records.sink(key=False))
    whole = trial.sender
    trial.sender = lambda events: whole([event | {"key": "k" * 1_100_000} for event in events])
    trial.send(1)
    trial.daemon.start()
    trial.daemon.until(lambda: "a row is larger than is taken: 1100" in trial.daemon.tail(), "what to do")
    assert "UpdateMaxRecordSize" in trial.daemon.tail()


# Pub/Sub.


@pytest.fixture(scope="session")
def pubsub(serve):
    return serve("pubsub")


class Messages:
    """A topic that was made for a test, and a subscription that gets all of it."""

    def __init__(self, address: str, name: str, ordered: bool = False):
        self.name, self.address = name, address
        self.subscription = Subscription(address, name, ordered)
        self._client = SubscriberClient(transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(address)))
        self._came: list[tuple[str, str, bytes]] = []

    def sink(self, address: str | None = None, more: str = "") -> str:
        where = f'project = "{PROJECT}"\ntopic = "{self.name}"\nendpoint = "http://{address or self.address}"'
        return f'connector = "pubsub"\n{where}\n{more}'

    def messages(self) -> list[tuple[str, str, bytes]]:
        """Id, ordering key and data of every message, in the order in which they come."""
        subscription = f"projects/{PROJECT}/subscriptions/{self.name}"
        asked = {"subscription": subscription, "max_messages": 1_000, "return_immediately": True}
        while received := self._client.pull(request=asked).received_messages:
            for message in (received.message for received in received):
                self._came.append((message.attributes["idempotency-key"], message.ordering_key, message.data))
            done = {"subscription": subscription, "ack_ids": [message.ack_id for message in received]}
            self._client.acknowledge(request=done)
        return self._came

    def assert_each_once(self, trial: Trial, keyed: bool = False) -> int:
        """Told apart by their ids, and each the same however often it came. Gives how many came again."""
        messages = self.messages()
        known: dict[str, tuple[str, bytes]] = {}
        for id, key, data in messages:
            assert known.setdefault(id, (key, data)) == (key, data), "a repetition is another message"
            assert key == (json.loads(data)["key"] if keyed else "")
        assert_each_once(trial, [json.loads(data) for _, data in known.values()])
        return len(messages) - len(known)


@pytest.fixture
def messages(pubsub, request):
    return Messages(pubsub.address, request.node.name)


def test_pubsub_killed(leaving, messages):
    trial = leaving(messages.sink(more='max_epoch_bytes = "10kB"'))
    journeys.killed(trial, KILLS)
    messages.assert_each_once(trial)


def test_pubsub_network(leaving, pubsub, messages):
    with Proxy(to=pubsub.port) as proxy:
        trial = leaving(messages.sink(proxy.address))
        journeys.unconnected(trial, proxy)
    messages.assert_each_once(trial)


def test_pubsub_ordered(leaving, pubsub, request):
    """Messages of a key come in their order, as first seen, whatever is repeated."""
    messages = Messages(pubsub.address, request.node.name, ordered=True)
    trial = leaving(messages.sink(more='key = "key"'))
    journeys.killed(trial, 4, rate=400)
    messages.assert_each_once(trial, keyed=True)
    first: dict[str, tuple[str, bytes]] = {}
    order: dict[str, list[int]] = {}
    for id, key, data in messages.messages():
        first.setdefault(id, (key, data))
    for key, data in first.values():
        order.setdefault(key, []).append(json.loads(data)["id"])
    assert all(ids == sorted(ids) for ids in order.values()), "out of order within a key"


def test_pubsub_checked(leaving, messages):
    right = leaving(messages.sink()).daemon.check("--connect")
    assert right.returncode == 0 and f"topics/{messages.name} is there; nothing was published" in right.stdout, right
    wrong = leaving(messages.sink().replace(f'topic = "{messages.name}"', 'topic = "nowhere"'))
    checked = wrong.daemon.check("--connect")
    assert checked.returncode == 2 and "topics/nowhere does not exist: create it" in checked.stderr, checked
    wrong.daemon.start()
    assert wrong.daemon.wait() == 2
    assert "topics/nowhere does not exist" in wrong.daemon.tail()
    assert not messages.messages()


# From one cloud to another.


def test_kinesis_to_pubsub(trial, kinesalite, messages):
    """The events of a stream at AWS, and what is counted of them, published at Google."""
    stream = Stream.make(kinesalite.address, "test_kinesis_to_pubsub", 3)
    crossing = trial(stream.source(), stream.send, top=f"[sinks.out]\n{messages.sink()}")
    sent_out(crossing)
    journeys.killed(crossing, KILLS)
    messages.assert_each_once(crossing)
