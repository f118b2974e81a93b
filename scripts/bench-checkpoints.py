#!/usr/bin/env python3
"""Measures what checkpoints cost: pause, bytes, throughput, and the time to be back after a crash.

Runs the program itself over the built-in generator and reads its log and its report. Nothing is asserted; the figures in
docs/benchmarks.md were read off a run of this.

    scripts/bench-checkpoints.py --watershed PATH [--events 10000000] [--runs 3]
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time

REGION = """
region = "bench"
lanes = 1
memory = "4GB"
spill = "{root}/spill"
[checkpoint]
url = "{root}/state"
interval = "{interval}"
[sources.orders]
connector = "generator"
profile = "orders"
{events}
seed = 1
start = "2026-03-01T00:00:00Z"
disorder = "2s"
max_delay = "2s"
dead_letters = "{root}/dead"
[sinks.lake]
connector = "parquet"
url = "{root}/lake"
[pipelines.bench]
sink = "lake"
sql = "{sql}"
"""

FEW = (
    "SELECT window_start, country, type, count(*) AS n, sum(amount) AS s, avg(amount) AS a, max(amount) AS m "
    "FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, country, type"
)
USERS = (
    "SELECT window_start, user_id, count(*) AS n, sum(amount) AS s FROM tumble(orders, INTERVAL '1 day') "
    "WHERE user_id < {below} GROUP BY window_start, user_id"
)


class Bench:
    def __init__(self, program, root):
        self.program, self.root, self.number = program, pathlib.Path(root), 0

    def start(self, sql, interval, events, root=None):
        """Starts a run in a folder of its own; its log goes to a file there."""
        if root is None:
            self.number += 1
            root = self.root / str(self.number)
            root.mkdir()
            text = REGION.format(root=root, sql=sql, interval=interval, events=events)
            (root / "region.toml").write_text(text)
        log = open(root / "log.txt", "w")
        arguments = ["run", root / "region.toml", "--quiet", "--report", root / "report.json", "--log-format", "json"]
        environment = dict(os.environ, RUST_LOG="watershed_engine=debug")
        begun = time.time()
        return root, begun, subprocess.Popen([self.program, *arguments], stderr=log, env=environment)

    def run(self, sql, interval, events):
        root, _, process = self.start(sql, interval, events)
        if process.wait() != 0:
            raise SystemExit((root / "log.txt").read_text())
        return json.loads((root / "report.json").read_text()), lines(root)


def lines(root):
    """The log, line by line; a line that is being written is left out."""
    found = []
    for line in (root / "log.txt").read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            pass
    return found


def fields(log, message):
    return [line for line in log if line.get("message") == message]


def spread(values, digits=2):
    values = sorted(values)
    return f"{statistics.median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


def throughput(bench, events, runs):
    print("\n## Events per second, a checkpoint every second over none (median, least to most)")
    for name, sql in [("24 groups", FEW), ("1 M users", USERS.format(below=10**9))]:
        ratios, rates = [], {"1s": [], "1h": []}
        for _ in range(runs):
            for interval in rates:
                report, _ = bench.run(sql, interval, f"events = {events}")
                rates[interval].append(report["read"] / report["wall_s"] / 1e6)
            ratios.append(rates["1s"][-1] / rates["1h"][-1])
        print(f"{name}: {spread(rates['1s'])} M/s with, {spread(rates['1h'])} M/s without, ratio {spread(ratios, 3)}")


def sizes(bench, events):
    print("\n## By live keys: pause of the lane, bytes and time of a checkpoint")
    for below in [1_000, 10_000, 100_000, 10**9]:
        report, log = bench.run(USERS.format(below=below), "1s", f"events = {events}")
        pauses = [f["pause_us"] for f in fields(log, "epoch ended on the lane")]
        stored = fields(log, "state stored")
        groups = report["rows_out"]
        if not stored:
            print(f"{groups} keys: no checkpoint in {report['wall_s']:.1f} s")
            continue
        size = [f["bytes"] / 1e6 for f in stored]
        took = [f["ms"] for f in stored]
        print(f"{groups} keys: pause us {spread(pauses, 0)}; stored MB {spread(size)}; ms {spread(took, 0)}")


def recovery(bench, runs):
    print("\n## Killed with 1 M live keys and started again")
    back, first = [], []
    for _ in range(runs):
        root, _, process = bench.start(USERS.format(below=10**9), "1s", 'rate = "1000000/s"')
        epoch = 0
        while epoch < 8:
            time.sleep(0.2)
            epoch = max((int(path.stem) for path in (root / "state" / "checkpoints").glob("*.json")), default=0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, begun, process = bench.start(None, None, None, root)
        while not fields(lines(root), "first records"):
            time.sleep(0.01)
        moment = lambda line: time.mktime(time.strptime(line["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        part = lambda line: float(re.search(r"\.\d+", line["timestamp"]).group())
        for line in lines(root):
            if line.get("message") == "state is back":
                back.append((moment(line) + part(line) - begun, line["blocks"], line["rows"]))
            if line.get("message") == "first records":
                first.append(moment(line) + part(line) - begun)
        process.send_signal(signal.SIGKILL)
        process.wait()
    rows = [rows for _, _, rows in back]
    print(f"state of {min(rows)} to {max(rows)} rows back after {spread([t for t, _, _ in back])} s; "
          f"first event read after {spread(first)} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watershed", required=True)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(arguments.watershed, root)
        throughput(bench, arguments.events, arguments.runs)
        sizes(bench, arguments.events)
        recovery(bench, arguments.runs)


main()
