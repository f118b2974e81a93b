"""docs/readers.md, from what was measured.

What a reader gives back otherwise than it was made has to be in [`NOTES`]; a note that nothing is found for is wrong.
"""

import re
from dataclasses import dataclass

from . import sample
from .lakes import SINKS
from .measure import Finding, Findings, Question

STORES = ("folder", "S3")
LAKES = [f"{sink}, {store}" for sink in SINKS for store in STORES]
TITLES = ["Parquet, folder", "Parquet, S3", "Delta, folder", "Delta, S3"]
LIBRARIES = ("PyArrow", "Polars", "DuckDB", "delta-rs", "delta-kernel")
ENGINES = ("DuckDB", "Spark", "Trino")
READERS = ("PyArrow", "Polars", "DuckDB", "Spark", "delta-rs", "delta-kernel", "Trino")


@dataclass(frozen=True)
class Note:
    """A finding that is not as all others are."""

    reader: str
    what: tuple[str, ...]
    lake: str
    """What the lake's name begins with."""
    found: str
    """Matches the columns that are wrong, or the error."""
    text: str
    declared: tuple[bool, ...] = (False, True)

    def covers(self, question: Question, finding: Finding) -> bool:
        asked = (question.reader, question.what in self.what, question.declared in self.declared)
        if asked != (self.reader, True, True) or not question.lake.startswith(self.lake):
            return False
        return re.search(self.found, said(finding)) is not None


NOTES = [
    Note(
        "DuckDB",
        ("types", "selected"),
        "parquet",
        "^hour$",
        "takes `hour=07` for text if it is not told; `watershed ddl` tells it",
        (False,),
    ),
    Note(
        "DuckDB",
        ("selected",),
        "parquet",
        "^3 of 3 files$",
        "opens all files to see their columns, as the view says `union_by_name`, without which it would not find "
        "columns that were added later; then it scans one",
        (True,),
    ),
    Note(
        "Polars",
        ("selected",),
        "parquet",
        "^3 of 3 files$",
        "opens every file of a Parquet lake, by `scan_parquet` with `hive_partitioning`",
    ),
    Note(
        "Trino",
        ("types", "selected"),
        "delta",
        "^(ts, moment, place|rows)$",
        "its Delta connector rounds timestamps to milliseconds, inside of structs too: a microsecond before 1970 is in "
        "1970, and so not among the rows from before. Its Hive connector keeps microseconds, without a zone",
    ),
    Note(
        "Trino",
        ("kinds",),
        "parquet",
        "^rows$",
        "a column in folders is text, every query has to name its value, and rows without one are not seen: so it is "
        "with partition projection",
    ),
    Note("Trino", ("clocks",), "parquet", "a time of day", "has no time of day in Parquet: `watershed ddl` refuses it"),
    Note(
        "Spark",
        ("clocks",),
        "parquet",
        "UNSUPPORTED_TIME_TYPE|a time of day",
        "has no time of day; `watershed ddl` refuses it",
    ),
    Note(
        "Polars",
        ("kinds",),
        "delta, S3",
        "%20.* not found",
        "asks a store for `%20` where a folder's name in a Delta table has a space, and so does not find the file; on "
        "a disk it does, and other names are found",
    ),
    Note(
        "delta-kernel",
        ("selected",),
        "delta",
        "takes no condition",
        "Delta Sharing's binding takes no condition, and no keys of a store",
    ),
]


def said(finding: Finding) -> str:
    return finding.failed or ", ".join(finding.wrong)


def unexplained(findings: Findings) -> list[str]:
    """What is wrong and not noted, and what is noted and not so."""
    odd = {question: finding for question, finding in findings.items() if said(finding)}
    wrong = [
        f"{question}: {said(finding)}"
        for question, finding in odd.items()
        if not any(note.covers(question, finding) for note in NOTES)
    ]
    needless = [
        f"nothing is found of {note.reader}: {note.text}"
        for note in NOTES
        if not any(note.covers(*one) for one in odd.items())
    ]
    return wrong + needless


def page(findings: Findings, versions: dict[str, str]) -> str:
    """The page as it should be."""
    parts = [INTRODUCTION.format(count=len(sample.EVENTS))]
    parts += ["## Rows, and files opened", ROWS, _rows(findings, versions, False)]
    parts += ["## Through `watershed ddl`", DDL, _rows(findings, versions, True)]
    parts += ["## Types", TYPES, _types(findings)]
    parts += ["## Notes", "\n".join(f"{number}. {note.reader}: {note.text}." for number, note in enumerate(NOTES, 1))]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Readers

What others see in our lakes. `scripts/services readers` writes this page: the program writes {count} rows of every
type, made in Python, into four lakes; each reader is asked for them, and what it answers is compared with what was
made, type by type: nulls of each, times before 1970 with their microseconds, negative decimals, nested ones.
`services/tests/test_readers.py` does so again, and fails where the page is no longer true."""

ROWS = """\
*same*: all rows are there once with all their values, times of day and folders of strings, integers and dates with
nulls among them; *almost*: but for what a note says. Then how many files were opened for one day's rows with a time
before 1970 and a price below zero, as the file system or the S3 server saw it. In brackets: the notes below."""

DDL = """\
What the command prints was run as it stands; the same questions were asked of the tables."""

TYPES = """\
What each reader calls the types of a pipeline's SQL. Where a Delta table says otherwise, that stands behind a
semicolon. The last lines are columns in folders."""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _rows(findings: Findings, versions: dict[str, str], declared: bool) -> str:
    rows = []
    for reader in ENGINES if declared else [reader for reader in READERS if reader != "Trino"]:
        cells = [_cell(findings, reader, lake, declared) for lake in LAKES]
        rows.append([f"{reader} {versions[reader]}", *cells])
    return table(["reader", *TITLES], rows)


def _cell(findings: Findings, reader: str, lake: str, declared: bool) -> str:
    about = {
        what: findings.get(Question(reader, lake, what, declared)) for what in ("types", "selected", "kinds", "clocks")
    }
    found = {what: finding for what, finding in about.items() if finding is not None}
    if not found:
        return "–"
    selected = found["selected"]
    opened = "" if selected.failed else f", {selected.opened} of {selected.files} files"
    same = "almost" if any(map(_differs, found.values())) else "same"
    odd = [(Question(reader, lake, what, declared), finding) for what, finding in found.items() if said(finding)]
    numbers = [str(number) for number, note in enumerate(NOTES, 1) if any(note.covers(*one) for one in odd)]
    return f"{same}{opened}" + (f" ({', '.join(numbers)})" if numbers else "")


def _differs(finding: Finding) -> bool:
    """Whether rows were not given back as they were made, or not found; what is refused is no row."""
    return any("files" not in one for one in finding.wrong) or "not found" in finding.failed


def _types(findings: Findings) -> str:
    columns = [
        ("types", name, kind) for name, kind in (sample.TYPES | sample.LEVELS).items() if name not in ("id", "ts")
    ]
    columns.insert(len(sample.TYPES) - 2, ("clocks", "clock", "time"))
    columns += [("kinds", name, sample.KINDS[name]) for name in sample.TABLES["kinds"]]
    names = {"document": "json"}
    rows = []
    for what, name, kind in columns:
        in_folder = what == "kinds" or name in sample.LEVELS
        title = f"{names.get(name, kind)}, `{name}=`" if in_folder else names.get(name, kind)
        rows.append([title, *(_type(findings, reader, what, name) for reader in READERS)])
    return table(["in SQL", *READERS], rows)


def _type(findings: Findings, reader: str, what: str, name: str) -> str:
    found = []
    for sink in SINKS:
        finding = findings.get(Question(reader, f"{sink}, folder", what, reader == "Trino"))
        if finding is not None:
            found.append(finding.types.get(name, ""))
    kinds = [kind for kind in dict.fromkeys(found) if kind]
    return "; ".join(kinds) or "–"


def differing_types(findings: Findings) -> list[str]:
    """Where a reader calls a type differently at S3 than in a folder."""
    return [
        str(question)
        for question, finding in findings.items()
        if question.lake.endswith("S3") and not finding.failed
        for beside in [
            findings[Question(question.reader, question.lake.replace("S3", "folder"), question.what, question.declared)]
        ]
        if not beside.failed and beside.types != finding.types
    ]
