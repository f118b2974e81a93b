#!/usr/bin/env python3
"""Measures how the cost of an event grows with its size, with keys, overlapping windows, pipelines and lanes.

Runs the program over one file of the generator's orders, which is made once, and reads its reports. Nothing is asserted; the tables
in docs/benchmarks.md were printed by a run of this.

    scripts/bench-costs.py [--events 10000000] [--runs 3] [TABLE...]        # of sizes keys hops pipelines lanes
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "watershed"
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "release"

REGION = """
region = "bench"
lanes = {lanes}
memory = "8GB"
[checkpoint]
url = "state"
interval = "1s"
[sources.orders]
connector = "file"
path = "{file}"
format = "json"
schema = {{ ts = "timestamp", region = "string", country = "string", type = "string", user_id = "bigint", product_id = "bigint", amount = "double" }}
event_time = "ts"
max_delay = "2s"
[sinks.out]
connector = "parquet"
url = "lake"
partition_by = []
"""

PIPELINE = """
[pipelines.p{number}]
sink = "out"
sql = '''{sql}'''
"""

QUERIES = {
    name: query["sql"] for name, query in tomllib.loads((ROOT / "bench" / "suites" / "w.toml").read_text())["queries"].items()
}
"""Those of workload W."""

KEYED = """
SELECT window_start, {key} AS key, count(*) AS events, sum(amount) AS revenue
FROM tumble(orders, INTERVAL '1 day') GROUP BY window_start, window_end, {key}"""

HOPPING = """
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue, avg(amount) AS mean, max(amount) AS most
FROM hop(orders, INTERVAL '1 second', INTERVAL '{overlap} seconds') GROUP BY window_start, window_end, country, type"""

SIZES = [100, 215, 1000, 4000]
KEYS = [10, 1_000, 100_000, 1_000_000]
ONE_EACH = "user_id * 60000 + date_part('millisecond', ts)"
"""Hardly ever the same for two events: a user seldom comes back in the same millisecond of a minute."""

OVERLAPS = [1, 6, 60, 360]
PIPELINES = [1, 2, 4, 8, 16, 32]
LANES = [1, 2]

SMALL = ("ts", "country", "type", "user_id", "amount")
"""What an event of the least size has; the greater ones have all, and a text that no query reads."""


@dataclass(frozen=True)
class Runs:
    """What several runs over one file reported."""

    reports: list[dict]

    def of(self, value: Callable[[dict], float], digits: int = 2) -> str:
        """Median, least and most."""
        values = sorted(map(value, self.reports))
        return f"{statistics.median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"

    def cells(self) -> list[str]:
        """CPU seconds per million events, millions of events a second, memory in MB."""
        return [
            self.of(lambda report: report["cpu_s"] / report["read"] * 1e6),
            self.of(lambda report: report["read"] / report["wall_s"] / 1e6),
            self.of(lambda report: report["peak_rss_bytes"] / 1e6, 0),
        ]

    def rows_out(self) -> str:
        return f"{self.reports[0]['rows_out']:,}"


class Bench:
    """The program over files of orders, each run in a folder that is new."""

    def __init__(self, options: argparse.Namespace):
        self._watershed: Path = options.watershed
        self._generator: Path = options.bench
        self._cache: Path = options.cache
        self._runs: int = options.runs
        self.events: int = options.events

    def orders(self, events: int) -> Path:
        """The generator's file: ten minutes of event time for ten million."""
        self._cache.mkdir(parents=True, exist_ok=True)
        file = self._cache / f"orders-{events}.ndjson"
        if not file.exists():
            partial = file.with_suffix(".partial")
            when = ["--start", "2026-03-01T00:00:00Z", "--event-rate", "1M/m", "--disorder", "2s"]
            what = ["--profile", "orders", "--events", str(events), "--to", f"file:{partial}"]
            subprocess.run([self._generator, "generate", *what, *when, "--quiet"], check=True)
            partial.rename(file)
        return file

    def dealt(self, count: int) -> Path:
        """The same in so many files, block by block in turn; the pattern of their names."""
        folder = self._cache / f"orders-{self.events}-in-{count}"
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            with contextlib.ExitStack() as stack, open(self.orders(self.events), "rb") as lines:
                outs = [stack.enter_context(open(partial / f"{number}.ndjson", "wb")) for number in range(count)]
                for number, block in enumerate(iter(lambda: lines.readlines(1 << 20), [])):
                    outs[number % count].writelines(block)
            partial.rename(folder)
        return folder / "*.ndjson"

    def run(self, file: Path, queries: Iterable[str], lanes: int = 1, cores: int | None = None) -> Runs:
        """Runs the queries over a file, each as a pipeline of one region; on so many cores, or all."""
        text = REGION.format(file=file, lanes=lanes)
        text += "".join(PIPELINE.format(number=number, sql=sql) for number, sql in enumerate(queries))
        reports = []
        for _ in range(self._runs):
            with tempfile.TemporaryDirectory(dir=self._cache) as folder:
                (Path(folder) / "region.toml").write_text(text)
                pinned = [] if cores is None else ["taskset", "--cpu-list", f"0-{cores - 1}"]
                command = [*pinned, self._watershed, "run", "region.toml", "--quiet", "--report", "report.json"]
                subprocess.run(command, cwd=folder, check=True)
                reports.append(json.loads((Path(folder) / "report.json").read_text()))
        return Runs(reports)


def resized(orders: Path, size: int, file: Path) -> None:
    """Writes the same orders with about so many bytes each."""
    with open(orders, "rb") as lines, open(file, "wb") as out:
        for line in lines:
            if size < len(line) - 20:
                event = json.loads(line)
                line = json.dumps({name: event[name] for name in SMALL}, separators=(",", ":")).encode() + b"\n"
            elif size > len(line) + 20:
                text = b"lorem ipsum dolor " * (size // 18 + 1)
                line = line[:-2] + b',"note":"' + text[: size - len(line) - 10] + b'"}\n'
            out.write(line)


def table(head: list[str], rows: Iterable[list[str]]) -> None:
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


COST = ["CPU s per million events", "M events/s", "memory, MB"]


def sizes(bench: Bench) -> None:
    """A tenth of the events: of the greatest size, these are files of gigabytes."""
    events = bench.events // 10

    def row(size: int) -> list[str]:
        with tempfile.NamedTemporaryFile(dir=bench.orders(events).parent, suffix=".ndjson") as file:
            resized(bench.orders(events), size, Path(file.name))
            runs = bench.run(Path(file.name), [QUERIES["q1"]])
        average = runs.reports[0]["bytes_in"] / runs.reports[0]["read"]
        rate = runs.of(lambda report: report["bytes_in"] / report["cpu_s"] / 1e6, 0)
        return [f"{average:,.0f} B", *runs.cells(), rate]

    table(["event", *COST, "MB per CPU s"], map(row, SIZES))


def keys(bench: Bench) -> None:
    """One window over all events, so that all keys live at once; in the end as many as events."""
    cases = [(count, f"(user_id * 16 + product_id % 16) % {count}") for count in KEYS]

    def row(case: tuple[int, str]) -> list[str]:
        count, key = case
        runs = bench.run(bench.orders(bench.events), [KEYED.format(key=key)])
        return [f"{count:,}", runs.rows_out(), *runs.cells()]

    table(["keys", "rows out", *COST], map(row, [*cases, (bench.events, ONE_EACH)]))


def hops(bench: Bench) -> None:
    def row(overlap: int) -> list[str]:
        runs = bench.run(bench.orders(bench.events), [HOPPING.format(overlap=overlap)])
        return [str(overlap), runs.rows_out(), *runs.cells()]

    table(["size : slide", "rows out", *COST], map(row, OVERLAPS))


def pipelines(bench: Bench) -> None:
    """A tenth of the events: each of them goes through all pipelines."""

    def row(count: int) -> list[str]:
        runs = bench.run(bench.orders(bench.events // 10), [QUERIES["q1"]] * count)
        each = runs.of(lambda report: report["cpu_s"] / report["read"] * 1e6 / count, 3)
        return [str(count), *runs.cells(), each]

    table(["pipelines", *COST, "CPU s per million events and pipeline"], map(row, PIPELINES))


def lanes(bench: Bench) -> None:
    """A core for each lane; over one file, which is spread over them, and over a file for each."""
    cases = [(name, count, files) for name in QUERIES for count in LANES for files in sorted({1, count})]

    def row(case: tuple[str, int, int]) -> list[str]:
        name, count, files = case
        runs = bench.run(bench.dealt(files), [QUERIES[name]], count, count)
        return [name, str(count), str(files), *runs.cells()]

    table(["query", "lanes and cores", "files", *COST], map(row, cases))


TABLES = {"sizes": sizes, "keys": keys, "hops": hops, "pipelines": pipelines, "lanes": lanes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all if none is named")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--watershed", type=Path, default=PROGRAMS / "watershed")
    parser.add_argument("--bench", type=Path, default=PROGRAMS / "watershed-bench", help="makes the file")
    parser.add_argument("--cache", type=Path, default=CACHE / "bench", help="where it is kept; %(default)s")
    options = parser.parse_args()
    for name in options.tables:
        if name not in TABLES:
            parser.error(f"there is no table {name}; there are {', '.join(TABLES)}")
    bench = Bench(options)
    for name in options.tables or TABLES:
        TABLES[name](bench)


if __name__ == "__main__":
    main()
