"""Kinesis, polled and pushed."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import aws_kinesis_agg.aggregator
import boto3

from ..kinesis import Kinesalite, KinesisLocal
from ..service import Service
from ..waiting import until
from .stream import Stream

REGION = "eu-west-1"
SHARDS = 4
PUT = 500
"""Records that one call may put."""
AGGREGATE = 50_000
"""Bytes of an aggregate: 230 orders."""


class KinesisStream(Stream):
    """Polled: 2 MB a second is what a shard gives, and all that the program asks for."""

    most = 200_000

    def __init__(self, shards: int = SHARDS, name: str = "kinesis, polled"):
        super().__init__()
        self.name = name
        self._shards = shards

    def server(self) -> Service:
        return Kinesalite()

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        access = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": REGION}
        self.client = boto3.client("kinesis", endpoint_url=f"http://{self.running.address}", **access)
        self.client.create_stream(StreamName="orders", ShardCount=self._shards)

        def status() -> str:
            return self.client.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamStatus"]

        until(lambda: status() == "ACTIVE", "the stream is active")
        shards = self.client.list_shards(StreamName="orders")["Shards"]
        self.ranges = {shard["ShardId"]: shard["HashKeyRange"]["StartingHashKey"] for shard in shards}
        with ThreadPoolExecutor(self._shards) as pool:
            parts = [records[number :: self._shards] for number in range(self._shards)]
            list(pool.map(self.put, parts, self.ranges.values()))

    def put(self, records: list[bytes], key: str) -> None:
        for start in range(0, len(records), PUT):
            self.put_records([{"Data": data} for data in records[start : start + PUT]], key)

    def put_records(self, records: list[dict], key: str) -> None:
        answer = self.client.put_records(
            StreamName="orders",
            Records=[record | {"PartitionKey": "order", "ExplicitHashKey": key} for record in records],
        )
        assert answer["FailedRecordCount"] == 0

    def source(self) -> str:
        return f"""
connector = "kinesis"
stream = "orders"
aws_region = "{REGION}"
endpoint = "http://{self.running.address}"
access_key_id = "bench"
secret_access_key = "bench\""""

    def bare(self) -> int:
        with ThreadPoolExecutor(self._shards) as pool:
            return sum(pool.map(self._read, self.ranges))

    def _read(self, shard: str) -> int:
        """boto3 in a thread a shard, as fast as the server answers."""
        horizon = {"StreamName": "orders", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator, seen = self.client.get_shard_iterator(**horizon)["ShardIterator"], 0
        while True:
            answer = self.client.get_records(ShardIterator=iterator, Limit=10_000)
            if not answer["Records"]:
                return seen
            iterator, seen = answer["NextShardIterator"], seen + self.count(answer["Records"])

    def count(self, records: list[dict]) -> int:
        return len(records)


class AggregatedStream(KinesisStream):
    """What the Kinesis Producer Library writes."""

    most = 1_000_000

    def __init__(self) -> None:
        super().__init__(name="kinesis, polled, aggregated")

    def put(self, records: list[bytes], key: str) -> None:
        aggregator = aws_kinesis_agg.aggregator.RecordAggregator(max_size=AGGREGATE)
        full = (aggregator.add_user_record("order", record, key) for record in records)
        waiting = [made.get_contents()[2] for made in full if made]
        if rest := aggregator.clear_and_get():
            waiting.append(rest.get_contents()[2])
        # A call may carry 5 MB.
        for start in range(0, len(waiting), 50):
            self.put_records([{"Data": data} for data in waiting[start : start + 50]], key)

    def bare(self) -> None:
        """The only client here that opens aggregates does so in pure Python, which would be measured instead."""
        return None


class FanOutStream(KinesisStream):
    """Pushed."""

    most = 2_000

    def __init__(self) -> None:
        super().__init__(name="kinesis, fan-out")

    def server(self) -> Service:
        return KinesisLocal()

    def source(self) -> str:
        # Each run registers anew: a consumer's subscription may be taken over only after a while.
        return f'{super().source()}\nmode = "fan-out"\nconsumer = "bench-{uuid.uuid4().hex[:8]}"'
