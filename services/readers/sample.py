"""Rows of every type that can be put out, as Python knows them, and the region that writes them into lakes.

The one idea: a row is made here once, in Python's own types. The program gets it as JSON, and what a reader gives back
is compared with it; so nothing that is expected has been through our hands.
"""

import base64
import datetime
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..daemon import Daemon

Row = dict[str, Any]

D = decimal.Decimal

TYPES = {
    "id": "bigint",
    "ts": "timestamp",
    "sure": "boolean",
    "tiny": "tinyint",
    "small": "smallint",
    "whole": "int",
    "big": "bigint",
    "rough": "float",
    "fine": "double",
    "price": "decimal(18,2)",
    "huge": "decimal(38,10)",
    "words": "string",
    "raw": "bytes",
    "day": "date",
    "moment": "timestamp",
    "tags": "list<bigint>",
    "grid": "list<list<int>>",
    "place": "struct<lat: double, city: string, inner: struct<price: decimal(9,3), at: timestamp>>",
    "parts": "list<struct<name: string, count: int>>",
    "scores": "map<string, decimal(9,3)>",
    "document": "json",
}
"""The columns that go out, and what they are in our words."""

LEVELS = {"region": "string", "date": "date", "hour": "int"}
"""The folders of `types`."""

KINDS = {"id": "bigint", "kind": "string", "grade": "int", "born": "date"}
"""The columns of `kinds`, which lies in folders of the last three."""

SOURCE = TYPES | {"tiny": "int", "small": "int"} | KINDS
"""The columns that come in; the SQL narrows two of them."""

CLOCKS = {"id": "bigint", "clock": "time"}
"""A time of day; it goes to Delta as text, as that has no type for it."""

TABLES = {"types": tuple(LEVELS), "kinds": ("kind", "grade", "born"), "clocks": ()}
"""The pipelines, and the folders that each writes to."""

REGION = """\
region = "eu-west-1"

[sources.events]
connector = "file"
path = "events.ndjson"
schema = {{ {schema} }}
event_time = "ts"

{sinks}

[pipelines.types]
sink = "types"
sql = "SELECT {columns} FROM events"

[pipelines.kinds]
sink = "kinds"
sql = "SELECT id, kind, grade, born FROM events"

[pipelines.clocks]
sink = "clocks"
sql = "SELECT id, {clock} AS clock FROM events"
"""

HOURS = [
    datetime.datetime(2026, 2, 28, 23, tzinfo=datetime.UTC),
    datetime.datetime(2026, 3, 1, 0, tzinfo=datetime.UTC),
    datetime.datetime(2026, 3, 1, 7, tzinfo=datetime.UTC),
]
"""Three folders. Those of engines that project dates begin with 2000."""

COUNT = 12

BORN = [datetime.date(1969, 7, 20), None, datetime.date(2024, 2, 29)]
KIND = ["a", "", None, "b/c =%", "déjà vu 🌊", "it's"]
"""Of the folders: an empty one, none, and such as have to be escaped."""

WORDS = ["", "plain", "🌊 müß", 'a "quote", and\na line']


def moment(number: int) -> datetime.datetime:
    """Microseconds that no float holds, on both sides of the epoch, and as far from it as all readers go."""
    first = datetime.datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC)
    return [
        first,
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=datetime.UTC),
        datetime.datetime(2200, 12, 31, 23, 59, 59, 123_457, tzinfo=datetime.UTC),
    ][number % 3] + datetime.timedelta(days=number // 3)


def event(number: int) -> Row:
    """A row in Python's types. In every fourth all that may be null is null; the one before has nulls inside."""
    with decimal.localcontext(prec=38):
        return _event(number)


def _event(number: int) -> Row:
    time = HOURS[number * len(HOURS) // COUNT] + datetime.timedelta(seconds=number, microseconds=123_456)
    sign = -1 if number % 2 else 1
    row = {
        "sure": number % 2 == 0,
        "tiny": -128 + number,
        "small": -32_768 + number,
        "whole": -(2**31) + number,
        "big": sign * (2**63 - 1) + (number if sign < 0 else -number),
        "rough": sign * (0.5 + number / 4),
        "fine": sign * 1e300 / (number + 1),
        "price": sign * D(number) / 4,
        "huge": sign * (D("9999999999999999999999999999.9999999999") - number),
        "words": WORDS[number % len(WORDS)],
        "raw": bytes([0, number, 255]) if number % 3 else b"",
        "day": datetime.date(1582, 10, 15) + datetime.timedelta(days=100_000 * (number % 3)),
        "moment": moment(number),
        "tags": list(range(number % 3)),
        "grid": [[number, -number], []],
        "place": {
            "lat": number / 4,
            "city": f"city {number}",
            "inner": {"price": sign * D(number) / 8, "at": moment(number)},
        },
        "parts": [{"name": "x", "count": number}],
        "scores": {"x": sign * D(number) / 8, "é": D("0.001")},
        "document": json.dumps({"n": number}, separators=(",", ":")),
    }
    match number % 4:
        case 2:
            inside = {"lat": None, "city": "", "inner": None}
            row |= {
                "tags": [None, 1],
                "grid": [None, [None]],
                "place": inside,
                "parts": [None, {"name": None, "count": 1}],
            }
            row |= {"scores": {"none": None}}
        case 3:
            row = dict.fromkeys(row)
    levels = {"kind": KIND[number % len(KIND)], "grade": [7, None, -1][number % 3], "born": BORN[number % len(BORN)]}
    return {"id": number, "ts": time} | row | levels


EVENTS = [event(number) for number in range(COUNT)]
"""In the order of their time: none is late."""


def expected_types() -> list[Row]:
    """The rows of `types`, with their folders."""

    def folders(row: Row) -> Row:
        return {"region": "eu-west-1", "date": row["ts"].date(), "hour": row["ts"].hour}

    return [{name: row[name] for name in TYPES} | folders(row) for row in EVENTS]


def expected_selected() -> list[Row]:
    """The rows of `types` of one day, with a moment before 1970 and a price below zero."""
    first = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

    def is_selected(row: Row) -> bool:
        return (
            row["date"] == HOURS[0].date() and row["price"] is not None and row["price"] < 0 and row["moment"] < first
        )

    return [row for row in expected_types() if is_selected(row)]


def expected_kinds() -> list[Row]:
    """The rows of `kinds`: an empty string in a folder's name is none."""
    return [{name: row[name] for name in KINDS} | {"kind": row["kind"] or None} for row in EVENTS]


def expected_clocks() -> list[Row]:
    return [{"id": row["id"], "clock": row["ts"].time()} for row in EVENTS]


def as_json(value: Any) -> str:
    """A value as it comes: bytes in base64, moments in RFC 3339, decimals with all of their digits."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {as_json(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(as_json, value)) + "]"
        case datetime.datetime():
            return json.dumps(value.isoformat(timespec="microseconds").replace("+00:00", "Z"))
        case datetime.date():
            return json.dumps(value.isoformat())
        case bytes():
            return json.dumps(base64.b64encode(value).decode())
        case D():
            return f"{value:f}"
    return json.dumps(value)


def arrives(row: Row) -> str:
    """A line of the source: a document stands in it as it is."""
    document = row["document"]
    text = as_json(row | {"document": None})
    return text if document is None else text.replace('"document": null', f'"document": {document}')


def write(folder: Path, connector: str, keys: Callable[[str], str]) -> Daemon:
    """Runs the program in a new folder; `keys` are those that lead to the place of a table."""
    sinks = []
    for table, levels in TABLES.items():
        partition_by = json.dumps(list(levels))
        sinks.append(f'[sinks.{table}]\nconnector = "{connector}"\n{keys(table)}\npartition_by = {partition_by}\n')
    narrow = {"tiny", "small"}
    columns = ", ".join(f"CAST({name} AS {TYPES[name]}) AS {name}" if name in narrow else name for name in TYPES)
    schema = ", ".join(f'{name} = "{kind}"' for name, kind in SOURCE.items())
    clock = "CAST(ts AS TIME)" if connector == "parquet" else "CAST(ts AS TIME)::string"
    (folder / "events.ndjson").write_text("\n".join(map(arrives, EVENTS)) + "\n")
    text = REGION.format(schema=schema, columns=columns, clock=clock, sinks="\n".join(sinks))
    daemon = Daemon(folder, text)
    daemon.start()
    report = daemon.report()
    assert report["bad"] == 0, report
    return daemon
