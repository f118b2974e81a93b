#!/usr/bin/env python3
"""Runs the daemon at a fixed rate while its store is stopped, slowed, made read-only, or takes its credentials no longer; or
while its disk is full, not writable, or stalled.

Each run's rows are compared with those of a run into a local folder that nothing came upon. Prints one line a run; the table
in docs/benchmarks.md was read off a run of this. See services/outages.

    scripts/bench-outages.py [--rate 100000] [--seconds 120] [--lasts 60] [--delta] [STORE...]      # of s3 azure gcs local
    scripts/bench-outages.py --mirror gcs [--seconds 2000] [--lasts 1800] s3   # a lake on s3 whose mirror goes dark
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from services.python import python  # noqa: E402

if Path(sys.prefix).resolve() != python().parent.parent.resolve():
    os.execv(python(), [str(python()), __file__, *sys.argv[1:]])

from services.outages.run import USUAL, Figures, Load, differ, run, run_mirrored  # noqa: E402
from services.outages.stores import PLACES, STORES  # noqa: E402

LOCAL = 'url = "var/lake"'


def mirrored(there: Path, load: Load, plain: Figures, store: str, options: argparse.Namespace) -> list[str]:
    """A run with a mirror; names it if rows differ."""
    stores = STORES[store](there / "store"), STORES[options.mirror](there / "mirror")
    try:
        seen = run_mirrored(there / "daemon", load, stores, options.after, options.lasts)
    finally:
        for one in stores:
            one.close()
    same = not differ(plain, seen.lake) and not differ(plain, seen.mirror)
    took = f"{seen.lake.seconds:.0f} s, {seen.lake.peak} MB, ended {seen.lake.back:.1f} s after the dark"
    waited = f"readers of the lake waited {seen.calm:.1f} s at most before, {seen.dark:.1f} s in the dark"
    names = f"{stores[0].name} with a mirror at {stores[1].name}"
    print(f"{names}: {'the same rows' if same else 'OTHER ROWS'}; {took}; {waited}", flush=True)
    return [] if same else [there.name]


def suffered(
    there: Path, load: Load, plain: Figures, store: str, connector: str, options: argparse.Namespace
) -> list[str]:
    """A run without trouble, and one with each kind that the place can have; names those of which rows differ."""
    wrong, kinds = [], [None]
    while kinds:
        kind = kinds.pop(0)
        suffers = PLACES[store](there / f"{kind}-store")
        try:
            if kind is None:
                kinds = list(suffers.troubles())
            trouble = {}
            if kind is not None:
                trouble = {"trouble": suffers.troubles()[kind], "after": options.after, "lasts": options.lasts}
                trouble |= {"may_end": suffers.ends_runs}
            lake = suffers.lake_of(connector)
            figures = run(there / f"{kind}-daemon", load, suffers.keys(), lake, connector=connector, **trouble)
        finally:
            suffers.close()
        same = not differ(plain, figures)
        wrong += [] if same else [f"{store}, {kind}"]
        took = f"{figures.seconds:.0f} s, {figures.peak} MB, back after {figures.back:.1f} s"
        took += ", started again" if figures.restarted else ""
        name = f"{suffers.name}, {connector}, {kind or 'nothing'}"
        print(f"{name}: {'the same rows' if same else 'OTHER ROWS'}; {took}", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", metavar="STORE", help=f"of {', '.join(PLACES)}; all if none is named")
    parser.add_argument("--rate", type=int, default=USUAL, help="events a second")
    parser.add_argument("--seconds", type=int, default=120, help="of events")
    parser.add_argument("--after", type=float, default=20, help="seconds before the trouble")
    parser.add_argument("--lasts", type=float, default=60, help="seconds of trouble")
    parser.add_argument("--mirror", choices=STORES, help="of the lake, and nothing but it suffers: it can't be reached")
    parser.add_argument("--delta", action="store_true", help="the lake is a table")
    options = parser.parse_args()
    if options.mirror is not None and (options.delta or "local" in options.stores):
        parser.error("a mirror is of plain files, and of a lake at a store")
    connector = "delta" if options.delta else "parquet"
    load = Load(options.rate, options.seconds)
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = run(folder / "plain", load, LOCAL, flat_out=options.rate == USUAL)
        print(f"{load.events:,} events; a local folder: {plain.seconds:.0f} s, {plain.peak} MB", flush=True)
        for store in options.stores or (PLACES if options.mirror is None else STORES):
            if options.mirror is not None:
                wrong += mirrored(folder / f"{store}-mirrored", load, plain, store, options)
                continue
            wrong += suffered(folder / store, load, plain, store, connector, options)
    if wrong:
        sys.exit(f"rows differ: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
