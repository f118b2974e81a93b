#!/usr/bin/env python3
"""Writes a day's worth of windows into 50 partitions of a Delta table, as a daemon that rolls every five minutes would, and compacts it.

The day goes by in a few minutes: a file grows by five minutes of events at a time, and files are rolled as often. Prints how
many files there are and how large they are, before and after; the figures in docs/benchmarks.md were read off a run of this.

    scripts/bench-compaction.py [--partitions 50] [--step 0.5]
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from services.python import python  # noqa: E402

if Path(sys.prefix).resolve() != python().parent.parent.resolve():
    os.execv(python(), [str(python()), __file__, *sys.argv[1:]])

import pyarrow.compute as pc  # noqa: E402
from deltalake import DeltaTable  # noqa: E402

from services.daemon import Daemon, program  # noqa: E402

BEGIN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
MINUTES = 24 * 60
A_STEP = 5
KINDS = 10

REGION = """
region = "day"
[checkpoint]
interval = "200ms"
[sources.events]
connector = "file"
path = "events.ndjson"
follow = true
schema = {{ ts = "timestamp", shop = "bigint", kind = "string", amount = "double" }}
event_time = "ts"
[sinks.lake]
connector = "delta"
url = "lake"
partition_by = ["region", "date", "shop"]
roll = {{ size = "128MB", every = "{step}s", idle = "{step}s" }}
[pipelines.sales]
sink = "lake"
sql = '''
SELECT window_start, shop, kind, count(*) AS orders, sum(amount) AS revenue
FROM tumble(events, INTERVAL '1 minute') GROUP BY window_start, shop, kind'''
"""


def events(minute: int, shops: int) -> str:
    """One event of each kind in each shop."""
    time = (BEGIN + datetime.timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    rows = ({"ts": time, "shop": shop, "kind": f"kind {kind}", "amount": shop * 1.25 + minute + kind} for shop in range(shops) for kind in range(KINDS))
    return "".join(json.dumps(row) + "\n" for row in rows)


def sizes(table: DeltaTable) -> str:
    found = [os.path.getsize(path.removeprefix("file://")) for path in table.file_uris()]
    middle = statistics.median(found)
    return f"{len(found):,} files, {sum(found) / 1e6:.1f} MB: {min(found):,} to {max(found):,} bytes, median {middle:,.0f}"


def totals(table: DeltaTable) -> tuple:
    rows = table.to_pyarrow_table(columns=["orders", "revenue"])
    return rows.num_rows, pc.sum(rows["orders"]).as_py(), round(pc.sum(rows["revenue"]).as_py(), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--step", type=float, default=0.5, help="seconds in which five minutes go by")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events.ndjson").touch()
        with Daemon(folder, REGION.format(step=options.step)) as daemon:
            daemon.start()
            with open(folder / "events.ndjson", "a") as file:
                for minute in range(MINUTES):
                    file.write(events(minute, options.partitions))
                    if minute % A_STEP == A_STEP - 1:
                        file.flush()
                        time.sleep(options.step)
            daemon.stop()
            daemon.drain()
        table = DeltaTable(str(folder / "lake"))
        before = totals(table)
        print(f"{before[0]:,} rows in {options.partitions} partitions")
        print(f"before: {sizes(table)}")
        begun = time.monotonic()
        done = subprocess.run([program(), "compact", "region.toml"], cwd=folder, capture_output=True, text=True)
        took = time.monotonic() - begun
        if done.returncode != 0:
            sys.exit(done.stderr)
        table = DeltaTable(str(folder / "lake"))
        print(f"after:  {sizes(table)}; {took:.1f} s")
        print("the same rows" if totals(table) == before else f"OTHER ROWS: {before}, {totals(table)}")


if __name__ == "__main__":
    main()
