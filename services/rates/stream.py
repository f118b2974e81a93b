"""What a stream has to offer to be measured."""

from abc import ABC, abstractmethod
from contextlib import ExitStack

from ..service import Service


class Stream(ABC):
    """A server with a stream that can be read again and again. A context manager: inside, the server runs."""

    name: str
    most = 1_000_000
    """Events that are enough to measure it; slow servers get fewer."""
    max_delay = "2s"
    """As the order of events asks for: one that hands them out in any order needs as long as it runs."""
    environment: dict[str, str] = {}

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self._open = ExitStack()

    @abstractmethod
    def server(self) -> Service | None:
        """What serves it, not started; none if the program itself is the server."""

    @abstractmethod
    def fill(self, records: list[bytes]) -> None:
        """Writes the records, once."""

    def again(self) -> None:
        """Whatever has to be done before the stream is read once more."""

    @abstractmethod
    def source(self) -> str:
        """The keys of a source that reads it."""

    def push(self, port: int) -> None:
        """Sends the records to a program that is a server itself."""

    @abstractmethod
    def bare(self) -> int | None:
        """Reads all of it by the bare client; gives the number of events. None if there is no such client."""

    @property
    def pid(self) -> int | None:
        return self.running.pid if self.running else None

    def __enter__(self):
        service = self.server()
        self.running = self._open.enter_context(service) if service else None
        return self

    def __exit__(self, *_) -> None:
        self._open.close()
