"""A child process that never outlives us, and that tells when it is ready."""

import re
import signal
import subprocess
import threading
from pathlib import Path

from .cache import Command

# Bounds on what should take a second or two, chosen for a machine that is busy with builds.
READY_WITHIN = 120
ENDS_WITHIN = 20


class Child:
    """Runs a command, writes what it prints to a log, and watches that for the line that says it is ready.

    The kernel kills the child when the thread that made it ends, however that happens: make it in the main thread. It
    has a session of its own, so that ctrl-c reaches us alone and we end it in good order.
    """

    def __init__(self, command: Command, folder: Path, ready: str, environment: dict[str, str] | None = None):
        self.log = folder / "log.txt"
        self._name = Path(command[0]).name
        self._ready = re.compile(ready)
        self._is_ready = False
        # Set by the line, or by the end of all lines.
        self._told = threading.Event()
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with open(self.log, "a") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                if self._ready.search(line):
                    self._is_ready = True
                    self._told.set()
        self._told.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Waits for the line; raises with the end of the log if the process ends or takes too long."""
        told = self._told.wait(READY_WITHIN)
        if self._is_ready:
            return
        what = "ended too soon" if told else f"was not ready within {READY_WITHIN} s"
        self.end(signal.SIGKILL)
        tail = "".join(self.log.read_text().splitlines(keepends=True)[-30:])
        raise RuntimeError(f"{self._name} {what}\n{tail}")

    def end(self, by: signal.Signals) -> None:
        """Sends the signal and waits for the end; SIGKILL follows if that takes too long."""
        if self.running():
            self._process.send_signal(by)
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
