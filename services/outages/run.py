"""One run of the daemon over a generator at a fixed rate, while its store suffers, and what was in the lake afterwards."""

import itertools
import json
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..daemon import Daemon
from ..lakes import Bucket, Lake
from .stores import Store, Trouble

PARTS = 'partition_by = ["region"]\nroll = { size = "16MB", every = "5s", idle = "1s" }'

REGION = """
region = "outage"
memory = "500MB"
[checkpoint]
interval = "1s"
[sources.orders]
connector = "generator"
profile = "orders"
events = {events}
{pace}
seed = 1
start = "2026-03-01T00:00:00Z"
max_delay = "2s"
[sinks.lake]
connector = "{connector}"
{PARTS}
{lake}
[pipelines.events]
sinks = {sinks}
sql = "SELECT event_id, ts, country, amount FROM orders WHERE country IN ('DE', 'FR')"
[pipelines.counts]
sinks = {sinks}
sql = '''
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue FROM tumble(orders, INTERVAL '10 seconds')
GROUP BY window_start, country, type'''
"""

COUNTS = "SELECT epoch_ms(window_start), country, type, events, round(revenue, 2) FROM lake ORDER BY ALL"
EVENTS = "SELECT count(*), count(DISTINCT event_id), sum(hash(event_id, ts, country, amount)) FROM lake"

USUAL = 100_000
"""Events a second, as the generator has time pass if it is told no rate."""

WITHIN = 3600
"""Seconds after which a run is given up."""


@dataclass(frozen=True)
class Load:
    rate: int
    seconds: int

    @property
    def events(self) -> int:
        return self.rate * self.seconds


@dataclass(frozen=True)
class Figures:
    """One run: its rows, and what it took."""

    rows: list[tuple]
    windows: list[tuple]
    seconds: float
    peak: int
    """Of memory, in MB."""
    back: float
    """Seconds from the end of the trouble until two checkpoints were stored; 0 without trouble."""
    restarted: bool = False
    """True if the trouble ended the run, and it was started again."""


@dataclass(frozen=True)
class Mirrored:
    """One run into two stores, of which one was dark."""

    lake: Figures
    mirror: Figures
    calm: float
    """The most seconds that a reader of the lake waited for something new, before one store was dark."""
    dark: float
    """The same, while it was."""


def run(
    folder: Path,
    load: Load,
    lake: str,
    where: Lake | None = None,
    trouble: Trouble | None = None,
    after: float = 0,
    lasts: float = 0,
    flat_out: bool = False,
    connector: str = "parquet",
    may_end: bool = False,
) -> Figures:
    """Runs to the end; `trouble` begins so many seconds after the start, and lasts for some. With `flat_out` events come as
    fast as they are taken, and are those of a load at USUAL. With `may_end`, a run that the trouble ended is started again."""
    folder.mkdir(parents=True)
    region = written(load, lake, ["lake"], flat_out, connector)
    with Daemon(folder, region, lake=where) as daemon:
        begun, back, restarted = time.monotonic(), 0.0, False
        daemon.start()
        if trouble is not None:
            restarted = between(daemon, trouble, after, lasts, may_end)
            back = until_stored(daemon)
        peak = watch(daemon, begun)
        if restarted:
            daemon.report()
        else:
            check_read(daemon, load)
        return replace(figures(daemon, time.monotonic() - begun, peak, back), restarted=restarted)


def run_mirrored(folder: Path, load: Load, stores: tuple[Store, Store], after: float, lasts: float) -> Mirrored:
    """Runs with a lake at one store and its mirror at the other, which can't be reached for some time."""
    folder.mkdir(parents=True)
    lake, mirror = stores
    region = written(load, lake.keys(), ["lake", "mirror"])
    region += f'[sinks.mirror]\nconnector = "parquet"\non_outage = "spill"\ntimeout = "5s"\n{mirror.keys()}\n{PARTS}\n'
    with Daemon(folder, region, lake=lake.lake) as daemon, Daemon(folder, region, lake=mirror.lake) as other:
        begun = time.monotonic()
        daemon.start()
        with Reading(lake.lake) as reading:
            between(daemon, (mirror.stop, mirror.heal), after, lasts)
            healed = time.monotonic()
            calm, dark = reading.longest_wait(begun, begun + after), reading.longest_wait(begun + after, healed)
            peak = watch(daemon, begun)
        ended = time.monotonic()
        check_read(daemon, load)
        lakes = [figures(one, ended - begun, peak, ended - healed) for one in (daemon, other)]
        return Mirrored(*lakes, calm, dark)


class Reading:
    """Somebody who looks into a lake every second."""

    def __init__(self, lake: Bucket):
        self._lake = lake
        self._news: list[float] = []
        """When there was more than before."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        seen = 0
        while not self._over.wait(1):
            now = len(self._lake.visible())
            if now > seen:
                seen = now
                self._news.append(time.monotonic())

    def longest_wait(self, begin: float, end: float) -> float:
        """The most seconds without anything new, between these times."""
        news = [begin, *(at for at in self._news if begin < at < end), end]
        return max(after - before for before, after in itertools.pairwise(news))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()


def written(load: Load, lake: str, sinks: list[str], flat_out: bool = False, connector: str = "parquet") -> str:
    pace = "" if flat_out else f'rate = "{load.rate}/s"'
    parts = {"lake": lake, "connector": connector, "sinks": json.dumps(sinks), "PARTS": PARTS}
    return REGION.format(events=load.events, pace=pace, **parts)


def between(daemon: Daemon, trouble: Trouble, after: float, lasts: float, may_end: bool = False) -> bool:
    """Trouble, so many seconds from now on, for some. True if it ended the run, as it may, and another was started."""
    begin, end = trouble
    time.sleep(after)
    daemon.check_alive()
    begin()
    try:
        time.sleep(lasts)
        ended = daemon.ended() is not None
        if not may_end:
            daemon.check_alive()
    finally:
        end()
    if ended:
        daemon.start()
    return ended


def check_read(daemon: Daemon, load: Load) -> None:
    report = daemon.report()
    assert report["read"] == load.events, report


def figures(daemon: Daemon, seconds: float, peak: int, back: float) -> Figures:
    return Figures(daemon.rows("events", EVENTS), daemon.rows("counts", COUNTS), seconds, peak, back)


def until_stored(daemon: Daemon) -> float:
    """Seconds until two more checkpoints are stored, of which the second was begun after the trouble."""
    begun, before = time.monotonic(), daemon.epoch()
    daemon.until(lambda: daemon.epoch() >= before + 2, "checkpoints after the trouble", WITHIN, pause=0.05)
    return time.monotonic() - begun


def watch(daemon: Daemon, begun: float) -> int:
    """Waits for the end of the process; gives the most memory that it ever had, in MB."""
    peak = 0
    while daemon.ended() is None:
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        peak = max([peak, *(int(line.split()[1]) // 1024 for line in lines)])
        if time.monotonic() > begun + WITHIN:
            raise RuntimeError(f"it did not end\n{daemon.tail()}")
        time.sleep(0.2)
    return peak


def differ(one: Figures, other: Figures) -> bool:
    return one.rows != other.rows or one.windows != other.windows
