"""What a reader is asked, and what it answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A folder of one pipeline's rows, as a reader is told of it."""

    sink: str
    """`parquet` or `delta`."""
    url: str
    levels: tuple[str, ...]
    """The columns that are in the names of folders."""
    endpoint: str = ""
    """Of the S3 that it lies at."""
    key: str = ""
    secret: str = ""
    region: str = ""


@dataclass
class Answer:
    """Columns with their types, in the reader's own words, and rows in Python's types."""

    types: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


class Reader(ABC):
    """Reads a place whole, or the rows that a condition selects: one date, times before 1970, prices below zero."""

    name: str
    sinks: tuple[str, ...] = ("parquet", "delta")
    stores: tuple[str, ...] = ("folder", "S3")

    @abstractmethod
    def version(self) -> str:
        pass

    @abstractmethod
    def read(self, place: Place, selecting: bool = False) -> Answer:
        """Rows in any order."""

    def close(self) -> None:  # noqa: B027
        """Ends what the reader runs in, if it started that itself."""


class Engine(Reader):
    """A reader that has tables."""

    ddl: str
    """What `watershed ddl --for` calls it."""
    selecting: dict[str, str]
    """The condition in its dialect, by sink."""

    @abstractmethod
    def declared(self, statements: str, place: Place, table: str, condition: str = "") -> Answer:
        """Runs what `watershed ddl` printed, then asks the table for its rows, and forgets the table."""
