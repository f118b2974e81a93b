"""Kinesis, by the hand of boto3 and of the aggregation that the KPL does."""

import hashlib
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import aws_kinesis_agg.aggregator
import boto3
import pytest

from ..daemon import Daemon
from ..ports import LOOPBACK
from ..proxy import Proxy
from ..throttle import FaultyKinesis
from ..tls import TlsProxy
from ..trial import KEYS, Trial
from ..waiting import until
from . import journeys

REGION = "eu-west-1"
ACCESS = {"aws_access_key_id": "trial", "aws_secret_access_key": "trial"}
KEYS_GIVEN = 'access_key_id = "trial"\nsecret_access_key = "trial"'


def client(service: str, address: str):
    return boto3.client(service, endpoint_url=f"http://{address}", region_name=REGION, **ACCESS)


def hash_range(shard: dict) -> tuple[int, int]:
    return int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])


def hash_key(partition_key: str) -> int:
    return int.from_bytes(hashlib.md5(partition_key.encode()).digest())


class Stream:
    """A stream, and what sends events to it."""

    def __init__(self, address: str, name: str):
        self.address, self.name = address, name
        self.client = client("kinesis", address)

    @classmethod
    def make(cls, address: str, name: str, shards: int) -> "Stream":
        made = cls(address, name)
        made.client.create_stream(StreamName=name, ShardCount=shards)
        made._until_active()
        return made

    def source(self, address: str | None = None, more: str = "", scheme: str = "http", access: str = KEYS_GIVEN) -> str:
        return f"""
connector = "kinesis"
stream = "{self.name}"
aws_region = "{REGION}"
endpoint = "{scheme}://{address or self.address}"
{access}
{more}"""

    def put(self, records) -> None:
        """Puts records, those again that were refused."""
        while records:
            answer = self.client.put_records(StreamName=self.name, Records=records)["Records"]
            records = [record for record, done in zip(records, answer, strict=True) if "ErrorCode" in done]

    def send(self, events) -> None:
        self.put([{"Data": json.dumps(event), "PartitionKey": event["key"]} for event in events])

    def send_aggregated(self, events) -> None:
        """As the KPL does: many events in a record, but only such as belong to one shard."""
        for shard in self.open_shards():
            first, last = hash_range(shard)
            aggregator = aws_kinesis_agg.aggregator.RecordAggregator(max_size=8_000)
            mine = [event for event in events if first <= hash_key(event["key"]) <= last]
            full = [aggregator.add_user_record(event["key"], json.dumps(event)) for event in mine]
            contents = [record.get_contents() for record in [*full, aggregator.clear_and_get()] if record]
            self.put([{"Data": data, "PartitionKey": key, "ExplicitHashKey": str(first)} for key, _, data in contents])

    def open_shards(self) -> list[dict]:
        shards = self.client.list_shards(StreamName=self.name)["Shards"]
        return [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]

    def split(self) -> None:
        """Splits the first open shard in two."""
        shard = self.open_shards()[0]
        first, last = hash_range(shard)
        middle = str((first + last) // 2)
        self.client.split_shard(StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
        self._until_active()

    def merge(self) -> None:
        """Merges two open shards that are neighbours."""
        shards = sorted(self.open_shards(), key=hash_range)
        one, other = (shard["ShardId"] for shard in shards[:2])
        self.client.merge_shards(StreamName=self.name, ShardToMerge=one, AdjacentShardToMerge=other)
        self._until_active()

    def _until_active(self) -> None:
        def status() -> str:
            return self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"]

        until(lambda: status() == "ACTIVE", f"{self.name} is active")


@pytest.fixture(scope="session")
def kinesalite(serve):
    return serve("kinesalite")


@pytest.fixture
def stream(kinesalite, request):
    return Stream.make(kinesalite.address, request.node.name, 3)


@pytest.fixture
def complete(serve, request):
    """A stream where all of Kinesis is to be had, slowly."""
    return Stream.make(serve("kinesis-local").address, request.node.name, 2)


def test_plain(trial, stream):
    journeys.plain(trial(stream.source(), stream.send))


def test_killed(trial, stream):
    journeys.killed(trial(stream.source(), stream.send))


def test_aggregated(trial, stream):
    """Kills come between the events of one record, too."""
    journeys.killed(trial(stream.source(), stream.send_aggregated), kills=10)


def test_network(trial, kinesalite, stream):
    with Proxy(to=kinesalite.port) as proxy:
        journeys.unconnected(trial(stream.source(proxy.address), stream.send), proxy)


def test_outage(trial, kinesalite, stream):
    with Proxy(to=kinesalite.port) as proxy:
        journeys.outage(trial(stream.source(proxy.address), stream.send, time=journeys.IN_REAL_TIME), proxy)


def test_bad_moments(trial, kinesalite, stream):
    with FaultyKinesis(to=kinesalite.port, share=0.3) as faulty:
        journeys.plain(trial(stream.source(faulty.address), stream.send))
        assert {"ProvisionedThroughputExceededException", "ExpiredIteratorException"} <= set(faulty.injected)


def test_server_restarts(trial, kinesalite, stream):
    journeys.disturbed(trial(stream.source(), stream.send), kinesalite.restart)


def test_split_and_merge(trial, stream):
    journeys.disturbed(trial(stream.source(), stream.send), stream.split, stream.merge, stream.split, stream.merge)


def test_split_and_merge_while_killed(trial, stream):
    resharded = trial(stream.source(), stream.send)
    with ThreadPoolExecutor(1) as reshard, resharded.load():
        changes = [reshard.submit(change) for change in (stream.split, stream.merge) * 3]
        journeys.kill(resharded, 10)
        for change in changes:
            change.result()
        resharded.daemon.start()
    resharded.settle()


def test_fan_out(trial, complete):
    source = complete.source(more='mode = "fan-out"\nconsumer = "trial"')
    journeys.plain(trial(source, complete.send), count=1_000)


def test_fan_out_killed(trial, complete):
    source = complete.source(more='mode = "fan-out"\nconsumer = "trial"')
    journeys.killed(trial(source, complete.send), kills=6, rate=100)


def test_metadata(trial, stream):
    source = stream.source(more='metadata = ["_partition", "_offset", "_key", "_ingest_time"]')
    with_columns = trial(source, stream.send)
    journeys.plain(with_columns, count=3_000)
    rows = with_columns.daemon.rows(
        "events",
        """SELECT count(*), count(DISTINCT (_partition, _offset)), bool_and(_key = key), count(DISTINCT _partition),
                  bool_and(_ingest_time > now() - INTERVAL 1 HOUR)
           FROM lake""",
    )
    assert rows == [(3_000, 3_000, True, 3, True)]


class SecurityTokens(BaseHTTPRequestHandler):
    """Gives everybody the role that they ask for."""

    ANSWER = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>role</AccessKeyId><SecretAccessKey>role</SecretAccessKey><SessionToken>role</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        self.send_response(200)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(self.ANSWER)))
        self.end_headers()
        self.wfile.write(self.ANSWER)

    def log_message(self, *_):
        pass


@contextmanager
def security_tokens():
    with ThreadingHTTPServer((LOOPBACK, 0), SecurityTokens) as server:
        server.asked = 0
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_given_ca(trial, serve, kinesalite, stream, tmp_path):
    """The stream, the table and who gives the credentials have certificates that only the given file vouches for."""
    with (
        security_tokens() as tokens,
        TlsProxy(to=kinesalite.port) as proxy,
        TlsProxy(to=serve("dynamodb").port) as table,
        TlsProxy(to=tokens.server_port) as assumed,
    ):

        def trusting(*authorities: Path) -> Trial:
            lease = f'table = "{stream.name}", duration = "2s", endpoint = "https://{table.address}"'
            more = f'role_arn = "arn:aws:iam::123456789012:role/reader"\nleases = {{ {lease} }}'
            if authorities:
                ca = tmp_path / f"{len(list(tmp_path.iterdir()))}.pem"
                ca.write_text("".join(authority.read_text() for authority in authorities))
                more += f'\ntls = {{ ca = "{ca}" }}'
            environment = {"AWS_ENDPOINT_URL_STS": f"https://{assumed.address}"}
            return trial(stream.source(proxy.address, more, scheme="https"), stream.send, environment)

        def refused(*authorities: Path) -> str:
            checked = trusting(*authorities).daemon.check("--connect")
            assert checked.returncode != 0
            return checked.stderr

        way_out = "give the authority that signed the server's certificate as `tls.ca`"
        for trusted in [(), (proxy.ca, table.ca), (proxy.ca, assumed.ca), (table.ca, assumed.ca)]:
            told = refused(*trusted)
            assert "invalid peer certificate: " in told and way_out in told, told
        no_pem = tmp_path / "no.pem"
        no_pem.write_text("nothing of the kind")
        assert "there is no certificate in it" in (told := refused(no_pem)), told
        journeys.plain(trusting(proxy.ca, table.ca, assumed.ca), count=3_000)
        assert tokens.asked


class Shared:
    """Daemons that share a stream, each with a lake of its own."""

    DURATION = 2
    """Seconds without a sign of life after which one takes over from another."""

    def __init__(self, trial, stream: Stream, tables: tuple[str, str], more: Callable[[str], str] = lambda _: ""):
        def sharing(owner: str, table: str) -> Trial:
            lease = f'table = "{stream.name}", owner = "{owner}", duration = "{self.DURATION}s"'
            source = f'leases = {{ {lease}, endpoint = "http://{table}" }}\n{more(owner)}'
            return trial(stream.source(more=source), stream.send, {"RUST_LOG": "warn,watershed=info"})

        self.trial, self.other = (sharing(*both) for both in zip(["one", "other"], tables, strict=True))
        self.daemons: list[Daemon] = [self.trial.daemon, self.other.daemon]

    def start(self) -> None:
        for daemon in self.daemons:
            daemon.start()

    def counted(self) -> int:
        """How many different events are in the lakes."""
        return len({row for daemon in self.daemons for row in daemon.rows("events", "SELECT id FROM lake")})

    def until_counted(self, within: float = 120) -> None:
        def counted() -> bool:
            self.revive()
            return self.counted() >= self.trial.sent

        until(counted, f"{self.trial.sent} events in the lakes", within, pause=0.2)

    def revive(self) -> None:
        """Starts a daemon again that was silent for too long, so that the other has had the last word."""
        for daemon in self.daemons:
            if daemon.ended() is not None:
                assert "from this silent one; start it again" in daemon.tail(), daemon.tail()
                daemon.start()

    def both_read(self) -> bool:
        return all(daemon.rows("events", "SELECT 1 FROM lake LIMIT 1") for daemon in self.daemons)

    def until_both_read(self) -> None:
        """Sends until both have shards."""
        while not self.both_read():
            assert self.trial.sent < 100 * KEYS, "one of the daemons has no shard"
            self.trial.send(KEYS)
            self.until_counted()
            time.sleep(0.2)

    def settle(self) -> None:
        """Waits for all events, has both daemons show what they hold, and looks at every event."""
        self.until_counted()
        for daemon in self.daemons:
            daemon.stop()
        for daemon in self.daemons:
            daemon.drain()
        self.trial.assert_each_once(self.other.daemon)

    def logged(self, words: str) -> int:
        return sum(daemon.log.read_text().count(words) for daemon in self.daemons)


def test_leases(trial, serve, stream):
    """Two daemons share a stream; one dies with more in its lake than the table knows, and the other takes its shards."""
    table = serve("dynamodb")
    with Proxy(to=table.port) as proxy:
        shared = Shared(trial, stream, (table.address, proxy.address))
        shared.start()
        shared.until_both_read()
        with shared.trial.load():
            time.sleep(1)
            proxy.stall()
            # Not so long that it would stop reading.
            time.sleep(Shared.DURATION / 2)
            shared.other.daemon.kill()
            proxy.heal()
            time.sleep(3 * Shared.DURATION)
            shared.other.daemon.start()
        shared.settle()
    assert shared.logged("learned from the state of who held it before")
    assert not shared.logged("is counted again")


def test_leases_killed(trial, serve, stream):
    """Either daemon is killed or sleeps, again and again, and is started again before others have noticed, or after."""
    shared = Shared(trial, stream, (serve("dynamodb").address,) * 2)
    shared.start()
    shared.until_both_read()
    chance = random.Random(7)
    with shared.trial.load(300):
        for _ in range(24):
            daemon = chance.choice(shared.daemons)
            time.sleep(chance.uniform(0, 2 * Shared.DURATION))
            shared.revive()
            if chance.random() < 0.3:
                daemon.sleep(chance.uniform(0.5, 2.5) * Shared.DURATION)
            else:
                daemon.kill()
                time.sleep(chance.choice([0, 2.5]) * Shared.DURATION)
                daemon.start()
    shared.settle()
    assert shared.logged("this silent one; start it again")
    assert not shared.logged("is counted again")


def test_leases_without_the_state(trial, serve, stream):
    """The state of a daemon that died cannot be reached: its shards are read on all the same, and that is said."""
    shared = Shared(trial, stream, (serve("dynamodb").address,) * 2)
    shared.start()
    shared.until_both_read()
    shared.other.daemon.kill()
    # Nobody asks a daemon to come back that is to stay away.
    shared.daemons.remove(shared.other.daemon)
    state = shared.other.daemon.folder / "var" / "trial" / "state"
    state.rename(state.with_name("elsewhere"))
    before = shared.trial.sent
    shared.trial.send(2_000)
    seen = "SELECT count(DISTINCT id) FROM lake WHERE id >= "
    shared.trial.daemon.until(
        lambda: shared.trial.daemon.rows("events", f"{seen} {before}") == [(2_000,)], "all of them by one daemon"
    )
    shared.trial.daemon.stop()
    log = shared.trial.daemon.log.read_text()
    assert log.count("keep every daemon's state in a store that all of them reach") == 1
    assert "there is no folder " in log


def fan_out(consumer: str) -> str:
    return f'mode = "fan-out"\nconsumer = "{consumer}"\nrefresh = "1s"'


def test_fan_out_split_and_merge(trial, complete):
    source = complete.source(more=fan_out("trial"))
    journeys.disturbed(trial(source, complete.send), complete.split, complete.merge, rate=100)


def test_fan_out_leases(trial, serve, complete):
    """Shards that are pushed change hands, with and without their daemon's help, and part and merge on the way."""
    shared = Shared(trial, complete, (serve("dynamodb").address,) * 2, fan_out)
    shared.start()
    with shared.trial.load(100):
        until(shared.both_read, "both read")
        complete.split()
        time.sleep(5)
        shared.other.daemon.kill()
        time.sleep(3 * Shared.DURATION)
        shared.other.daemon.start()
        complete.merge()
        time.sleep(5)
    shared.settle()
    assert not shared.logged("is counted again")
