#!/usr/bin/env python3
"""Measures how fast the daemon drains each kind of stream beside its server on this machine: ten-second windows into Parquet.

Fills a stream with the generator's orders, then starts the program over it, several times, each from the first record on, with a
checkpoint every second; then reads it by a bare client. Nothing is asserted; the figures in docs/benchmarks.md were read off
runs of this. See services/rates.

    scripts/bench-streams.py [--runs 3] [--share 1.0] [NAME...]      # such as kafka kafka-zstd eventhubs
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from services.python import python  # noqa: E402

if Path(sys.prefix).resolve() != python().parent.parent.resolve():
    os.execv(python(), [str(python()), __file__, *sys.argv[1:]])

from services.rates.eventhubs import EventHubsStream  # noqa: E402
from services.rates.kafka import EventHubsByKafka, KafkaStream  # noqa: E402
from services.rates.kinesis import AggregatedStream, FanOutStream, KinesisStream  # noqa: E402
from services.rates.meter import Figures, bare, drain, spread  # noqa: E402
from services.rates.orders import orders  # noqa: E402
from services.rates.pubsub import PubSubStream  # noqa: E402
from services.rates.pushed import PushStream  # noqa: E402
from services.rates.sse import EventStream  # noqa: E402
from services.rates.stream import Stream  # noqa: E402

STREAMS = {
    "kafka": lambda: KafkaStream("none"),
    "kafka-lz4": lambda: KafkaStream("lz4"),
    "kafka-zstd": lambda: KafkaStream("zstd"),
    "eventhubs-kafka": EventHubsByKafka,
    "eventhubs": EventHubsStream,
    "kinesis": KinesisStream,
    "kinesis-32": lambda: KinesisStream(32, "kinesis, polled, 32 shards"),
    "kinesis-aggregated": AggregatedStream,
    "kinesis-fan-out": FanOutStream,
    "pubsub": PubSubStream,
    "http-durable": lambda: PushStream("durable"),
    "http-memory": lambda: PushStream("memory"),
    "sse": EventStream,
}


def measure(stream: Stream, records: list[bytes], runs: int) -> None:
    print(f"{stream.name}: {len(records):,} events, {sum(map(len, records)):,} bytes; load {os.getloadavg()[0]:.1f}")
    with stream:
        stream.fill(records)
        drained, barely = [], []
        for _ in range(runs):
            stream.again()
            drained.append(drain(stream))
        for _ in range(runs):
            stream.again()
            figures = bare(stream)
            barely += [figures] if figures else []
        tell("watershed", drained)
        tell("bare client", barely)


def tell(who: str, runs: list[Figures]) -> None:
    if not runs:
        return
    rate = spread(runs, lambda one: one.rate / 1000, ".1f")
    wall = spread(runs, lambda one: one.wall, ".2f")
    client = spread(runs, lambda one: one.per_million(one.client), ".2f")
    server = spread(runs, lambda one: one.per_million(one.server), ".2f")
    busy = spread(runs, lambda one: one.server / one.wall, ".2f")
    mine = spread(runs, lambda one: one.client / one.wall, ".2f")
    print(f"  {who:11} {rate} k events/s, {wall} s; CPU s per million {client}, other end {server};", end="")
    print(f" cores {mine}, other end {busy}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(STREAMS)}; all if none is named")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the events that a stream is measured with")
    options = parser.parse_args()
    for name in options.names:
        if name not in STREAMS:
            parser.error(f"there is no stream {name}; there are {', '.join(STREAMS)}")
    streams = [STREAMS[name]() for name in options.names or STREAMS]
    counts = [round(stream.most * options.share) for stream in streams]
    records = orders(max(counts))
    for stream, count in zip(streams, counts, strict=True):
        measure(stream, records[:count], options.runs)


if __name__ == "__main__":
    main()
