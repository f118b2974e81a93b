"""Times a run of the program over a stream, and the CPU that both ends of it take."""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from .. import ports
from ..daemon import Daemon
from .orders import region
from .stream import Stream

TICKS = os.sysconf("SC_CLK_TCK")
WITHIN = 300
"""Seconds after which a run is given up."""


@dataclass(frozen=True)
class Figures:
    """One run: seconds of wall time, and of CPU at each end."""

    events: int
    wall: float
    client: float
    server: float

    @property
    def rate(self) -> float:
        return self.events / self.wall

    def per_million(self, seconds: float) -> float:
        return seconds / self.events * 1e6


def cpu(pid: int | None) -> float:
    """Seconds that a process and those of its children that have ended have spent so far."""
    if pid is None:
        return 0.0
    # The name may hold anything; what follows is numbers, the state first.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def own() -> float:
    return sum(os.times()[:4])


def drain(stream: Stream) -> Figures:
    """From the start of the process until all is read, and answered where somebody waits for that."""
    (port,) = ports.free(1)
    events = len(stream.records)
    with tempfile.TemporaryDirectory() as folder:
        text = region(stream.source(), port, stream.max_delay)
        with Daemon(Path(folder), text, stream.environment) as daemon:
            pushing = threading.Thread(target=stream.push, args=(port,), daemon=True)
            served, pushed, begun = cpu(stream.pid), own(), time.monotonic()
            daemon.start()
            pushing.start()
            while records_read(port) < events:
                daemon.check_alive()
                if time.monotonic() > begun + WITHIN:
                    raise RuntimeError(f"{records_read(port)} of {events} were read\n{daemon.tail()}")
                time.sleep(0.05)
            # What is pushed is done when it is answered.
            pushing.join()
            wall = time.monotonic() - begun
            # Who pushes is the other end, where the program is the server.
            other = own() - pushed if stream.pid is None else cpu(stream.pid) - served
            return Figures(events, wall, daemon.stop()["cpu_s"], other)


def bare(stream: Stream) -> Figures | None:
    served, asked, begun = cpu(stream.pid), own(), time.monotonic()
    events = stream.bare()
    if events is None:
        return None
    wall = time.monotonic() - begun
    return Figures(events, wall, own() - asked, cpu(stream.pid) - served)


def records_read(port: int) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return next((int(float(line.split()[1])) for line in lines if line.startswith("watershed_records_read_total ")), 0)


def spread(runs: list[Figures], of: Callable[[Figures], float], form: str) -> str:
    """Median, least and most."""
    values = sorted(map(of, runs))
    middle, least, most = (f"{value:{form}}" for value in (statistics.median(values), values[0], values[-1]))
    return f"{middle} ({least} to {most})"
