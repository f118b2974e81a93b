#!/usr/bin/env python3
"""Measures the program beside other engines: the same file of JSON lines, the same three questions, the answer in Parquet.

Makes a file of orders by the generator and keeps it; then has each engine answer each
question several times, and compares its rows with Watershed's. The figures in docs/benchmarks.md were read off runs of this. See
services/peers.

    scripts/bench-peers.py [--events 10000000] [--runs 3] [--pin] [NAME...]     # such as duckdb flink

`watershed-bench peers` is this, over the program that it would run itself; its options are those below.
"""

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from services.python import python  # noqa: E402

if Path(sys.prefix).resolve() != python().parent.parent.resolve():
    os.execv(python(), [str(python()), __file__, *sys.argv[1:]])

from services import cache  # noqa: E402
from services.peers import workload  # noqa: E402
from services.peers.flink import Flink  # noqa: E402
from services.peers.libraries import ChDB, DuckDB, Polars  # noqa: E402
from services.peers.meter import Figures, measure  # noqa: E402
from services.peers.peer import Peer  # noqa: E402
from services.peers.spark import Spark  # noqa: E402
from services.peers.table import Result, legend, table  # noqa: E402
from services.peers.verdict import compare  # noqa: E402
from services.peers.watershed import Watershed  # noqa: E402

PEERS = {"duckdb": DuckDB, "polars": Polars, "chdb": ChDB, "flink": Flink, "spark": Spark}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; all if none is named")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--input", type=Path, help="a file that is there, in place of one that is made")
    parser.add_argument("--question", action="append", choices=workload.QUESTIONS, help="only this; more than once for several")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pin", action="store_true", help="to one core, all of an engine")
    parser.add_argument("--folder", type=Path, default=cache.root().parent / "peers", help="where files lie; %(default)s")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    options = parser.parse_args()
    for name in options.names:
        if name not in PEERS:
            parser.error(f"there is no engine {name}; there are {', '.join(PEERS)}")
    return options


class Bench:
    """The engines' runs, each in a folder that is new."""

    def __init__(self, file: Path, folder: Path, pin: bool):
        self._file = file
        self._folder = folder
        self._pin = pin
        self._cores = 1 if pin else len(os.sched_getaffinity(0))

    def place(self, question: str, peer: Peer) -> Path:
        return self._folder / "runs" / f"{question}-{peer.name.lower()}"

    def answer(self, question: str, peer: Peer) -> str:
        return f"{self.place(question, peer)}/out/{peer.files}"

    def run(self, question: str, peer: Peer) -> Figures:
        folder = self.place(question, peer)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = peer.command(question, self._file, folder, self._cores)
        pinned = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if self._pin else []
        return measure([*pinned, *command], folder, peer.environment(folder, self._cores) | {"TZ": "UTC"})


def main() -> None:
    options = arguments()
    folder = options.folder.resolve()
    file = (options.input or folder / f"orders-{options.events}.ndjson").resolve()
    if not options.input:
        workload.make(file, options.events)
    events = workload.count(file)
    print(f"{events:,} events, {file.stat().st_size / 1e6:,.0f} MB; load {os.getloadavg()[0]:.1f}", flush=True)
    ours = Watershed()
    peers: list[Peer] = [ours, *(PEERS[name]() for name in options.names or PEERS)]
    for peer in peers:
        peer.prepare(file, folder / "prepared")
    bench = Bench(file, folder, options.pin)
    results = []
    for question in options.question or workload.QUESTIONS:
        for peer in peers:
            runs = [bench.run(question, peer) for _ in range(options.runs)]
            verdict = compare(workload.QUESTIONS[question], bench.answer(question, peer), bench.answer(question, ours))
            results.append(Result(question, peer, runs, verdict))
            print(f"  {question} {peer.name}: {[f'{run.wall:.2f}' for run in runs]} s, rows {verdict}", flush=True)
    print(f"\n{table(results, events)}\n\n{legend(peers)}")
    if options.json:
        options.json.write_text(json.dumps([as_json(result) for result in results], indent=1))
    if any(result.verdict.differing for result in results):
        raise SystemExit("not all rows are the same")


def as_json(result: Result) -> dict:
    runs = [{"wall_s": run.wall, "cpu_s": run.cpu, "memory_bytes": run.memory} for run in result.runs]
    verdict = {"rows": result.verdict.rows, "differing": result.verdict.differing}
    return {"question": result.question, "engine": result.peer.name, "version": result.peer.version(), "runs": runs} | verdict


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
