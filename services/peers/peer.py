"""An engine that answers the questions."""

from abc import ABC, abstractmethod
from pathlib import Path

from ..cache import HERE
from ..python import environment

REQUIREMENTS = HERE / "requirements-peers.txt"


class Peer(ABC):
    name: str
    settings: str
    """What was chosen for it, in words."""
    files = "*.parquet"
    """Its answer, in the folder `out`."""
    streams = False
    """It answers window by window; else it waits for the end of the file."""

    def prepare(self, file: Path, folder: Path) -> None:
        """Makes of the file what it needs beside it, in a folder that is kept for all runs."""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def command(self, question: str, file: Path, folder: Path, cores: int) -> list[str | Path]:
        """A command that leaves the answer as Parquet files in `out` of its folder."""

    def environment(self, folder: Path, cores: int) -> dict[str, str]:
        """Variables beside ours."""
        return {}


class Library(Peer):
    """One that comes as a module of Python, and is asked by a program of ours beside it."""

    module: str

    def version(self) -> str:
        from importlib.metadata import distributions

        site = python().parent.parent / "lib"
        (folder,) = site.glob("python3*/site-packages")
        return next(one.version for one in distributions(path=[str(folder)]) if one.name == self.module)

    def command(self, question: str, file: Path, folder: Path, cores: int) -> list[str | Path]:
        (folder / "out").mkdir()
        program = f"services.peers.ask_{self.module}"
        return [python(), "-m", program, question, file, folder / "out", str(cores)]

    def environment(self, folder: Path, cores: int) -> dict[str, str]:
        return {"PYTHONPATH": str(HERE.parent)}


def python() -> Path:
    """The interpreter that has the libraries."""
    return environment("peers", REQUIREMENTS) / "python"
