"""Kinesis, by the hand of boto3 and of the aggregation that the KPL does."""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import aws_kinesis_agg.aggregator
import boto3
import pytest

from ..proxy import Proxy
from ..throttle import FaultyKinesis
from ..trial import KEYS
from ..waiting import until
from . import journeys

REGION = "eu-west-1"
ACCESS = {"aws_access_key_id": "trial", "aws_secret_access_key": "trial"}


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

    def source(self, address: str | None = None, more: str = "") -> str:
        return f"""
connector = "kinesis"
stream = "{self.name}"
aws_region = "{REGION}"
endpoint = "http://{address or self.address}"
access_key_id = "trial"
secret_access_key = "trial"
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


def test_leases(trial, serve, stream):
    """Two daemons share a stream; one of them dies, and the other takes its shards over."""
    table = serve("dynamodb")

    def sharing(owner: str):
        lease = f'table = "{stream.name}", owner = "{owner}", duration = "2s", endpoint = "http://{table.address}"'
        return trial(stream.source(more=f"leases = {{ {lease} }}"), stream.send)

    one, other = sharing("one"), sharing("other")
    one.daemon.start()
    other.daemon.start()

    def counted() -> set[int]:
        rows = one.daemon.rows("events", "SELECT id FROM lake") + other.daemon.rows("events", "SELECT id FROM lake")
        return {number for (number,) in rows}

    def until_counted() -> None:
        one.daemon.until(lambda: len(counted()) == one.sent, "all events in one of the lakes", pause=0.2)

    def send_until_both_read() -> None:
        while not (one.counted() and other.counted()):
            assert one.sent < 50 * KEYS, "one of the daemons has no shard"
            one.send(KEYS)
            until_counted()
            time.sleep(0.2)

    send_until_both_read()
    other.daemon.kill()
    one.send(2_000)
    until_counted()
    one.daemon.stop()
    assert counted() == set(range(one.sent))
