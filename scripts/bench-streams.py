#!/usr/bin/env python3
"""Measures how fast the daemon drains a broker beside it on this machine: Kafka into ten-second windows into Parquet.

Fills a topic of four partitions with the generator's orders, then starts the program over it, several times, each from the
first record on, with a checkpoint every second. Nothing is asserted; the figures in docs/benchmarks.md were read off a run
of this. Compression is the producer's, so that the daemon pays for the opposite.

    scripts/bench-streams.py [--events 3000000] [--runs 3] [--compression none lz4 zstd]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from services import ports  # noqa: E402
from services.python import python  # noqa: E402

if Path(sys.prefix).resolve() != python().parent.parent.resolve():
    os.execv(python(), [str(python()), __file__, *sys.argv[1:]])

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from services.daemon import Daemon, program  # noqa: E402
from services.kafka import Kafka  # noqa: E402

ORDERS = """
region = "orders"
[sources.orders]
connector = "generator"
profile = "orders"
events = {events}
start = "2026-03-01T00:00:00Z"
[sinks.out]
connector = "stdout"
[pipelines.all]
sink = "out"
sql = "SELECT * FROM orders"
"""

REGION = """
region = "bench"
[checkpoint]
interval = "1s"
[http]
listen = "127.0.0.1:{port}"
[sources.orders]
connector = "kafka"
brokers = "{brokers}"
topic = "{topic}"
schema = {{ ts = "timestamp", country = "string", type = "string", amount = "double" }}
event_time = "ts"
max_delay = "2s"
[sinks.lake]
connector = "parquet"
url = "lake"
[pipelines.by_country]
sink = "lake"
sql = '''
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue, max(amount) AS most
FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, country, type'''
"""


def orders(events: int) -> list[bytes]:
    """The generator's records as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "region.toml").write_text(ORDERS.format(events=events))
        made = subprocess.run([program(), "run", "region.toml", "--quiet"], cwd=folder, capture_output=True, check=True)
    return made.stdout.splitlines()


def fill(brokers: str, topic: str, records: list[bytes], compression: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result()
    sizes = {"linger.ms": 20, "batch.size": 500_000, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({"bootstrap.servers": brokers, "compression.type": compression} | sizes)
    for record in records:
        while True:
            try:
                producer.produce(topic, record)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0


def records_read(port: int) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return next((int(float(line.split()[1])) for line in lines if line.startswith("watershed_records_read_total ")), 0)


def drain(brokers: str, topic: str, events: int) -> tuple[float, float]:
    """Seconds from the start of the process until all is read, and CPU seconds of the whole run."""
    port = ports.free(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        with Daemon(Path(folder), REGION.format(brokers=brokers, topic=topic, port=port)) as daemon:
            begun = time.monotonic()
            daemon.start()
            while records_read(port) < events:
                daemon.check_alive()
                time.sleep(0.05)
            wall = time.monotonic() - begun
            return wall, daemon.stop()["cpu_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compression", nargs="+", default=["none", "lz4", "zstd"])
    options = parser.parse_args()
    records = orders(options.events)
    print(f"{len(records)} records of {sum(map(len, records)) / len(records):.0f} bytes; load before: {os.getloadavg()[0]:.1f}")
    with Kafka() as kafka:
        brokers = kafka.variables()["WATERSHED_KAFKA"]
        for compression in options.compression:
            topic = f"orders-{compression}"
            fill(brokers, topic, records, compression)
            runs = [drain(brokers, topic, len(records)) for _ in range(options.runs)]
            rates = sorted(len(records) / wall / 1000 for wall, _ in runs)
            cpu = sorted(seconds / len(records) * 1e6 for _, seconds in runs)
            print(
                f"{compression:5} {statistics.median(rates):5.0f} k/s ({rates[0]:.0f} to {rates[-1]:.0f}), "
                f"{statistics.median(cpu):.2f} CPU s per million ({cpu[0]:.2f} to {cpu[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
