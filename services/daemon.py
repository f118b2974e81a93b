"""The `watershed` program, driven from outside: by its region file, by signals, and by what it leaves in the lake."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb

from . import cache
from .lakes import Folder, Lake
from .waiting import PAUSE, until

ENDS_WITHIN = 60


def program() -> Path:
    """The binary under test."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache.root().parent / "target")
    return Path(os.environ.get("WATERSHED") or target / "release" / "watershed").resolve()


class Daemon:
    """One region, in a folder of its own, over as many processes as it takes."""

    def __init__(
        self, folder: Path, region: str, environment: dict[str, str] | None = None, lake: Lake | None = None
    ):
        """`lake`: where its files lie, if that is not in its folder."""
        self.folder = folder
        self._lake = lake or Folder(folder / "var" / "lake")
        self.log = folder / "log.txt"
        self.environment = os.environ | (environment or {})
        (folder / "region.toml").write_text(region)
        self._process: subprocess.Popen[bytes] | None = None
        self._duck = duckdb.connect(config={"threads": 1})
        self._duck.execute("SET TimeZone = 'UTC'")

    def rival(self) -> "Daemon":
        """Another one over the same region, state and lake."""
        return Daemon(self.folder, (self.folder / "region.toml").read_text(), self.environment)

    def rewrite(self, old: str, new: str) -> None:
        """Changes the region file, for the lives to come."""
        path = self.folder / "region.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    # Lives and deaths.

    def start(self, *options: str) -> None:
        run = ["run", "region.toml", "--quiet", "--report", "report.json", *options]
        with open(self.log, "a") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", program(), *run],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def sleep(self, seconds: float) -> None:
        """Stops the process for a while, wherever it is; it does not notice."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def ended(self) -> int | None:
        """The exit code, if the process has ended."""
        return self._process.poll()

    def wait(self, within: float = ENDS_WITHIN) -> int:
        """Waits for the end of the process; gives its exit code."""
        return self._process.wait(within)

    def stop(self) -> dict[str, Any]:
        """Ends the run in good order; gives its report."""
        self.until(self._hears, "the daemon to listen for signals")
        self._process.send_signal(signal.SIGTERM)
        return self.report()

    def _hears(self) -> bool:
        """True once the process handles SIGTERM itself: before that, it is the end of any process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def report(self) -> dict[str, Any]:
        """Waits for a run to end well; gives its report."""
        code = self.wait()
        assert code == 0, f"exit {code}\n{self.tail()}"
        return json.loads((self.folder / "report.json").read_text())

    def drain(self) -> dict[str, Any]:
        """Puts out the windows that a stop left open."""
        self.start("--drain")
        return self.report()

    def die_at_random(self, chance: random.Random, longest: float = 1.0) -> None:
        """Starts and kills. Half of the lives may end at any moment, the others see a checkpoint of their own first, so
        that there is progress however slow the machine is."""
        before = self.epoch()
        self.start()
        if chance.random() < 0.5:
            self.until(lambda: self.epoch() > before + 1, "a checkpoint of this life")
        try:
            self._process.wait(chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            self.kill()
            return
        raise AssertionError(f"ended by itself with {self._process.returncode}\n{self.tail()}")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._duck.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # What it says.

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [program(), "check", "region.toml", *options]
        surroundings = {"cwd": self.folder, "env": self.environment, "timeout": ENDS_WITHIN}
        return subprocess.run(command, capture_output=True, text=True, **surroundings)

    def check_alive(self) -> None:
        code = self.ended()
        assert code is None, f"the daemon ended with {code}\n{self.tail()}"

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:])

    def until(self, ask, what: str, within: float = 60, pause: float = PAUSE):
        """Waits for something to come true while the daemon runs."""

        def asked():
            self.check_alive()
            return ask()

        try:
            return until(asked, what, within, pause)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def epoch(self) -> int:
        """The newest checkpoint that is stored; zero if none is."""
        manifests = (self.folder / "var").glob("*/state/checkpoints/*.json")
        return max((int(path.stem) for path in manifests), default=0)

    # What it wrote.

    def rows(self, pipeline: str, query: str) -> list[tuple]:
        """Asks DuckDB about what a pipeline wrote, as `lake`; no rows while there are no files."""
        files = [str(path) for path in self._lake.files(pipeline)]
        if not files:
            return []
        lake = self._duck.read_parquet(files, hive_partitioning=False)
        return lake.query("lake", query).fetchall()
