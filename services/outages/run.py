"""One run of the daemon over a generator at a fixed rate, while its store suffers, and what was in the lake afterwards."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..daemon import Daemon
from ..lakes import Lake
from .stores import Store

REGION = """
region = "outage"
memory = "500MB"
[checkpoint]
interval = "1s"
[sources.orders]
connector = "generator"
profile = "orders"
events = {events}
rate = "{rate}/s"
seed = 1
start = "2026-03-01T00:00:00Z"
max_delay = "2s"
[sinks.lake]
connector = "parquet"
partition_by = ["region"]
roll = {{ size = "16MB", every = "5s", idle = "1s" }}
{lake}
[pipelines.events]
sink = "lake"
sql = "SELECT event_id, ts, country, amount FROM orders WHERE country IN ('DE', 'FR')"
[pipelines.counts]
sink = "lake"
sql = '''
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue FROM tumble(orders, INTERVAL '10 seconds')
GROUP BY window_start, country, type'''
"""

COUNTS = "SELECT epoch_ms(window_start), country, type, events, round(revenue, 2) FROM lake ORDER BY ALL"
EVENTS = "SELECT count(*), count(DISTINCT event_id), sum(hash(event_id, ts, country, amount)) FROM lake"

WITHIN = 900
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


def run(
    folder: Path,
    load: Load,
    lake: str,
    where: Lake | None = None,
    trouble: Callable[[], None] | None = None,
    end: Callable[[], None] | None = None,
    after: float = 0,
    lasts: float = 0,
) -> Figures:
    """Runs to the end; `trouble` begins so many seconds after the start, and lasts for some."""
    folder.mkdir(parents=True)
    region = REGION.format(events=load.events, rate=load.rate, lake=lake)
    with Daemon(folder, region, lake=where) as daemon:
        begun, back = time.monotonic(), 0.0
        daemon.start()
        if trouble is not None:
            time.sleep(after)
            daemon.check_alive()
            trouble()
            time.sleep(lasts)
            daemon.check_alive()
            end()
            back = until_stored(daemon)
        peak = watch(daemon, begun)
        report = daemon.report()
        assert report["read"] == load.events, report
        seconds = time.monotonic() - begun
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


def suffering(store: Store, kind: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """What begins the trouble of that kind, and what ends it."""
    return {
        "stopped": (store.stop, store.heal),
        "slowed": (store.slow, store.heal),
        "read-only": (store.read_only, store.renew),
        "credentials expired": (store.expire, store.renew),
    }[kind]


KINDS = ["stopped", "slowed", "read-only", "credentials expired"]


def differ(one: Figures, other: Figures) -> bool:
    return one.rows != other.rows or one.windows != other.windows
