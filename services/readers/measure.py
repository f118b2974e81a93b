"""Asks every reader everything, of every lake, and says what is not as it was made."""

import datetime
import decimal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import sample
from .lakes import Lake
from .libraries import ALL
from .library import Library
from .reader import Answer, Engine, Reader, Row
from .spark import Spark
from .trino import Trino

EXPECTED: dict[str, Callable[[], list[Row]]] = {
    "types": sample.expected_types,
    "selected": sample.expected_selected,
    "kinds": sample.expected_kinds,
    "clocks": sample.expected_clocks,
}
"""The questions: the rows of a table, and `selected`, those of `types` that a condition selects."""


@dataclass(frozen=True)
class Question:
    reader: str
    lake: str
    what: str
    declared: bool
    """By way of `watershed ddl`, or by itself."""


@dataclass
class Finding:
    """What came of a question."""

    types: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """Columns that are not as they were made; `rows` if their number is not; `3 of 3 files` where one will do."""
    failed: str = ""
    opened: int = 0
    files: int = 0


Findings = dict[Question, Finding]


@contextmanager
def everybody(spark: Spark, trino: Trino) -> Iterator[list[Reader]]:
    """All readers; the engines have been started."""
    libraries = [Library(name) for name in ALL]
    try:
        yield [*libraries, spark, trino]
    finally:
        for library in libraries:
            library.close()


def measure(readers: list[Reader], lakes: list[Lake]) -> Findings:
    findings = {}
    for lake in lakes:
        for reader in (reader for reader in readers if lake.sink in reader.sinks and lake.store in reader.stores):
            for what in EXPECTED:
                # As text, a time of day is nothing to be read.
                if what == "clocks" and lake.sink == "delta":
                    continue
                for declared in (False, True):
                    if answers(reader, declared):
                        findings[Question(reader.name, lake.name, what, declared)] = ask(reader, lake, what, declared)
    return findings


def answers(reader: Reader, declared: bool) -> bool:
    if declared:
        return reader.name in ("DuckDB", "Spark", "Trino")
    return reader.name != "Trino"


def ask(reader: Reader, lake: Lake, what: str, declared: bool) -> Finding:
    table = "types" if what == "selected" else what
    with lake.opened(table) as opened:
        try:
            answer = (
                _declared(reader, lake, what, table) if declared else reader.read(lake.place(table), what == "selected")
            )
        except Exception as error:
            return Finding(failed=str(error))
        count = opened()
    files = lake.files(table)
    odd = wrong(answer, EXPECTED[what]())
    if what == "selected" and count != 1:
        odd.append(f"{count} of {files} files")
    return Finding(answer.types, odd, "", count, files)


def _declared(engine: Engine, lake: Lake, what: str, table: str) -> Answer:
    statements, place = lake.ddl(engine.ddl, table), lake.place(table)
    if what == "selected":
        return engine.declared(statements, place, table, engine.selecting[lake.sink])
    if what == "kinds" and engine.name == "Trino" and lake.sink == "parquet":
        # Its projection knows no values of columns: each has to be named.
        answer = Answer()
        for row in sample.expected_kinds():
            named = [f"{name} = {literal(str(row[name]))}" for name in place.levels if row[name] is not None]
            if len(named) == len(place.levels):
                found = engine.declared(statements, place, table, f"WHERE {' AND '.join(named)} AND id = {row['id']}")
                answer = Answer(found.types, answer.rows + found.rows)
        return answer
    if what == "types" and engine.name == "Trino" and lake.sink == "parquet":
        # It would look into the folders of all hours since 2000.
        days = [literal(str(hour.date())) for hour in sample.HOURS]
        return engine.declared(statements, place, table, f"WHERE date IN ({', '.join('DATE ' + day for day in days)})")
    return engine.declared(statements, place, table)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def wrong(answer: Answer, expected: list[Row]) -> list[str]:
    rows = sorted(answer.rows, key=lambda row: row["id"])
    if [row["id"] for row in rows] != [row["id"] for row in expected]:
        return ["rows"]
    columns = expected[0]
    return [
        name
        for name in columns
        if not all(same(got.get(name), made[name]) for got, made in zip(rows, expected, strict=True))
    ]


KINDS = (bool, int, float, decimal.Decimal, str, bytes, datetime.datetime, datetime.date, datetime.time, list, dict)


def kind(value: Any) -> type | None:
    return next((kind for kind in KINDS if isinstance(value, kind)), None)


def same(got: Any, made: Any) -> bool:
    """Equal, and of the same type: Python holds true and 1 and 1.0 for equal."""
    if kind(got) is not kind(made):
        return False
    match made:
        case dict():
            return got.keys() == made.keys() and all(same(got[name], made[name]) for name in made)
        case list():
            return len(got) == len(made) and all(map(same, got, made))
    return got == made
