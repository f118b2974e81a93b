"""Times a program: wall, CPU and memory of it and of all processes that it starts."""

import itertools
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.02
"""Seconds between two looks at the memory that a process had at most."""

ALL = 5
"""How often that is looked at before what it started is, too: that takes CPU from what is measured."""

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Figures:
    """One run: seconds of wall time and of CPU, and the most bytes that were resident."""

    wall: float
    cpu: float
    memory: int


def measure(command: list[str | Path], folder: Path, environment: dict[str, str]) -> Figures:
    """Runs a command to its end; what it prints goes into a log in its folder, and is shown if it fails.

    The kernel counts the CPU time of a process once somebody waited for it: programs that leave children behind are not for
    this meter.
    """
    log = folder / "log.txt"
    with open(log, "ab") as out:
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        ended = threading.Event()
        watch = Watch(process.pid, ended)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.kill()
            raise
        wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watch.join()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit {process.returncode}\n{log.read_text(errors='replace')[-4000:]}")
    # Not its `ru_maxrss`: that begins with our own memory, of which the process was a copy.
    return Figures(wall, usage.ru_utime + usage.ru_stime, watch.most)


class Watch(threading.Thread):
    """Looks at the memory of a process and its descendants until an event."""

    def __init__(self, pid: int, ended: threading.Event):
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = ended
        self.most = 0

    def run(self) -> None:
        for look in itertools.count():
            if self._ended.wait(PAUSE):
                return
            self.most = max(self.most, greatest(self._pid))
            if look % ALL == 0:
                self.most = max(self.most, sum(map(resident, tree(self._pid))))


def tree(pid: int) -> list[int]:
    """A process and its descendants, those that are still there."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            tasks = list(Path(f"/proc/{one}/task").iterdir())
            waiting += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def greatest(pid: int) -> int:
    """What was resident of a process at most, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
