"""Small files become large ones while the daemon writes: whoever reads the table sees each row once, at every version."""

import threading
from collections import Counter

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from ..lakes import KINDS, Table
from ..waiting import PAUSE, until
from . import journeys
from .test_delta import growing, service, table  # noqa: F401 (fixtures)

COMPACT = 'compact = { every = "1s", after = "0s" }'


@pytest.fixture(params=["disk", *KINDS])
def kind(request) -> str:
    return request.param


@pytest.fixture
def compacted(growing):
    """A trial that writes a table of which small files are merged every second."""
    return growing(more=COMPACT)


class Reader:
    """Reads version after version; of those that come while it reads, the last."""

    def __init__(self, table: Table):
        self.table = table
        self.versions: list[int] = []
        self.wrong: list[str] = []
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        seen: set[int] = set()
        try:
            while not self._over.wait(PAUSE):
                try:
                    table = self.table.open()
                except TableNotFoundError:
                    continue
                if self.versions and table.version() == self.versions[-1]:
                    continue
                seen = self._look(table, seen)
        except BaseException as failure:
            self.failure = failure

    def _look(self, table: DeltaTable, before: set[int]) -> set[int]:
        ids = Counter(value for value in ids_of(table) if value is not None)
        twice = [value for value, count in ids.items() if count > 1]
        gone = before - ids.keys()
        if twice or gone:
            self.wrong.append(f"version {table.version()}: {len(twice)} rows twice, {len(gone)} gone")
        self.versions.append(table.version())
        return set(ids)


def ids_of(table: DeltaTable) -> list[int | None]:
    if "id" not in {field.name for field in table.schema().fields}:
        return []
    return table.to_pyarrow_table(columns=["id"])["id"].to_pylist()


def operations(table: Table) -> Counter:
    try:
        return Counter(entry["operation"] for entry in table.open().history())
    except TableNotFoundError:
        return Counter()


def check(trial, table: Table, reader: Reader) -> None:
    assert reader.failure is None, reader.failure
    assert not reader.wrong, reader.wrong
    assert len(reader.versions) > 5
    assert operations(table)["OPTIMIZE"] > 2
    rows = [value for value in ids_of(table.open()) if value is not None]
    assert sorted(rows) == list(range(trial.sent))


@pytest.mark.parametrize("kind", ["disk", "s3"], indirect=True)
def test_under_load(compacted, table):
    with Reader(table) as reader:
        compacted.daemon.start()
        with compacted.load():
            until(lambda: operations(table)["OPTIMIZE"] > 6, "a few merges", within=120)
        compacted.settle()
    check(compacted, table, reader)


def test_killed(compacted, table):
    """The daemon dies at any point of a merge, too."""
    with Reader(table) as reader:
        journeys.killed(compacted)
    check(compacted, table, reader)
