"""What all services share: a name, ports and a data folder that stay the same over restarts, and one process."""

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from . import ports
from .cache import Command
from .child import Child


class Service(ABC):
    """One server on loopback.

    `launch` starts it and `wait_ready` returns once it serves, so that several can come up at the same time; `start` is
    both. `stop` asks it to end, `kill` does not ask, and a `start` after either finds the same ports and the same data,
    as far as the server keeps any. `close` ends it for good and removes the data. Also a context manager.
    """

    name: str
    port_count = 1
    ready: str
    """Matches the line that the server prints once it serves."""

    def __init__(self) -> None:
        self.ports = ports.free(self.port_count)
        self.folder = Path(tempfile.mkdtemp(prefix=f"watershed-{self.name}-"))
        self._child: Child | None = None

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Installs what is missing."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """What is installed, by name and number."""

    @abstractmethod
    def command(self) -> Command:
        """The command that serves in the foreground."""

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """How a test finds it: environment variables."""

    def environment(self) -> dict[str, str] | None:
        """The environment of the server itself, if it needs another than ours."""
        return None

    def prepare(self) -> None:
        """Lays out the data folder, before the first start."""

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def address(self) -> str:
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid

    def launch(self) -> None:
        if self._child is None:
            self.prepare()
        self._child = Child(self.command(), self.folder, self.ready, self.environment())

    def wait_ready(self) -> None:
        self._child.wait_ready()

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        self._child.end(signal.SIGTERM)

    def kill(self) -> None:
        self._child.end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        if self._child is not None:
            self.stop()
        shutil.rmtree(self.folder)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()
