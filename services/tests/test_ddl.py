"""What `watershed ddl` prints: read by a parser of each dialect, and run where the engine runs here."""

import base64
import datetime
import decimal
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import sqlfluff
import sqlglot

from ..daemon import Daemon, program
from ..readers.spark import plain

TYPES = {
    "id": "bigint",
    "ts": "timestamp",
    "sure": "boolean",
    "small": "int",
    "rough": "float",
    "fine": "double",
    "price": "decimal(18,2)",
    "name": "string",
    "raw": "bytes",
    "day": "date",
    "tags": "list<bigint>",
    "place": "struct<lat: double, city: string>",
    "scores": "map<string, bigint>",
}

REGION = """
region = "eu-west-1"
[sources.events]
connector = "file"
path = "events.ndjson"
schema = {{ {schema} }}
event_time = "ts"
[sinks.all]
connector = "parquet"
url = "lake/all"
[sinks.by_name]
connector = "parquet"
url = "lake/by_name"
partition_by = ["name", "date"]
[pipelines.events]
sink = "all"
sql = "SELECT * FROM events"
[pipelines.by_name]
sink = "by_name"
sql = '''
SELECT window_start, name, count(*) AS events, sum(price) AS revenue
FROM tumble(events, INTERVAL '1 hour') GROUP BY window_start, name'''
"""



def by_sqlglot(text: str, dialect: str) -> None:
    # What it does not know it takes for a command of any shape, and it knows no repair.
    told = [statement for statement in text.split(";\n") if "MSCK REPAIR TABLE" not in statement and statement.strip()]
    kinds = [type(sqlglot.parse_one(statement, dialect=dialect)).__name__ for statement in told]
    assert set(kinds) == {"Create"}, kinds


def by_sqlfluff(text: str, dialect: str) -> None:
    sqlfluff.parse(text, dialect=dialect)


DIALECTS = {
    "athena": (by_sqlglot, "athena", "s3://acme/lake"),
    "bigquery": (by_sqlfluff, "bigquery", "gs://acme/lake"),
    "synapse": (by_sqlfluff, "tsql", "abfss://lake@acme.dfs.core.windows.net/orders"),
    "spark": (by_sqlglot, "spark", "s3://acme/lake"),
    "trino": (by_sqlglot, "trino", "s3://acme/lake"),
    "duckdb": (by_sqlglot, "duckdb", "/var/lake"),
    "snowflake": (by_sqlfluff, "snowflake", "s3://acme/lake"),
}
"""For each engine a parser that knows its statements, the dialect's name there, and a place that it can reach."""



def of_bigquery(text: str, dialect: str) -> None:
    # It knows connections by name only, and not that there may be a default one.
    by_sqlfluff(text.replace("WITH CONNECTION DEFAULT", "WITH CONNECTION `acme.eu.lake`"), dialect)


def by_sqlglot_as_call(text: str, dialect: str) -> None:
    # No parser knows its arguments; test_readers.py has Trino itself run it.
    statement = sqlglot.parse_one(text.removesuffix(";\n"), dialect=dialect)
    assert isinstance(statement, sqlglot.exp.Command) and statement.this == "CALL"


OF_DELTA = {
    "athena": (by_sqlglot, "athena", "s3://acme/lake"),
    "bigquery": (of_bigquery, "bigquery", "gs://acme/lake"),
    "synapse": (by_sqlfluff, "tsql", "abfss://lake@acme.dfs.core.windows.net/orders"),
    "spark": (by_sqlglot, "spark", "s3://acme/lake"),
    "trino": (by_sqlglot_as_call, "trino", "s3://acme/lake"),
    "duckdb": (by_sqlfluff, "duckdb", "s3://acme/lake"),
    "snowflake": (by_sqlfluff, "snowflake", "s3://acme/lake"),
}
"""The same for Delta tables."""

HOURS = [datetime.datetime(1969, 12, 31, 23), datetime.datetime(2026, 3, 1, 0), datetime.datetime(2026, 3, 1, 7)]
"""Three folders, one of them before the epoch."""
NAMES = ["a", "b/c", "it's"]
EACH = 10


def event(number: int) -> dict:
    """A row, in Python's types."""
    time = HOURS[number % len(HOURS)] + datetime.timedelta(seconds=number, microseconds=123_456)
    return {
        "id": number,
        "ts": time.replace(tzinfo=datetime.UTC),
        "sure": number % 2 == 0,
        "small": -number,
        "rough": number / 2,
        "fine": number / 8,
        "price": decimal.Decimal(number) / 4,
        "name": NAMES[number % len(NAMES)],
        "raw": bytes([number, 255]),
        "day": datetime.date(1960, 1, 1) + datetime.timedelta(days=number),
        "tags": [number, number + 1],
        "place": {"lat": number / 4, "city": f"city {number}"},
        "scores": {"x": number},
    }


EVENTS = sorted((event(number) for number in range(EACH * len(HOURS))), key=lambda row: row["ts"])
"""In the order of their time: none is late."""


def as_json(row: dict) -> str:
    """A row as it comes: bytes in base64, moments in RFC 3339."""
    shown = row | {
        "ts": row["ts"].isoformat().replace("+00:00", "Z"),
        "price": str(row["price"]),
        "raw": base64.b64encode(row["raw"]).decode(),
        "day": row["day"].isoformat(),
    }
    text = json.dumps(shown)
    return text.replace(f'"{row["price"]}"', str(row["price"]), 1)


def at_utc(row: dict) -> dict:
    """A row whose moment says that it is in UTC."""
    return row | {"ts": row["ts"].replace(tzinfo=datetime.UTC)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A lake with all that types can be."""
    folder = tmp_path_factory.mktemp("ddl")
    schema = ", ".join(f'{name} = "{kind}"' for name, kind in TYPES.items())
    (folder / "events.ndjson").write_text("\n".join(map(as_json, EVENTS)))
    with Daemon(folder, REGION.format(schema=schema)) as daemon:
        daemon.start()
        assert daemon.report()["bad"] == 0
        yield daemon


def ddl(daemon: Daemon, *options: str, code: int = 0) -> str:
    command = [program(), "ddl", "region.toml", *options]
    done = subprocess.run(command, cwd=daemon.folder, env=daemon.environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("engine", DIALECTS)
@pytest.mark.parametrize("pipeline", ["events", "by_name"])
def test_each_is_of_its_dialect(written, engine, pipeline):
    parse, dialect, place = DIALECTS[engine]
    parse(ddl(written, "--for", engine, "--pipeline", pipeline, "--location", place), dialect)


@pytest.fixture(scope="module")
def delta(tmp_path_factory):
    """The same region with Delta tables, of which nothing is written."""
    schema = ", ".join(f'{name} = "{kind}"' for name, kind in TYPES.items())
    region = REGION.format(schema=schema).replace('connector = "parquet"', 'connector = "delta"')
    with Daemon(tmp_path_factory.mktemp("delta"), region) as daemon:
        yield daemon


@pytest.mark.parametrize("engine", OF_DELTA)
def test_each_is_of_its_dialect_for_delta(delta, engine):
    parse, dialect, place = OF_DELTA[engine]
    parse(ddl(delta, "--for", engine, "--pipeline", "events", "--location", place), dialect)


def test_duckdb(written):
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(ddl(written, "--for", "duckdb"))
    columns = "* EXCLUDE (region, date, hour) REPLACE (ts AT TIME ZONE 'UTC' AS ts)"
    rows = database.sql(f"SELECT {columns} FROM events ORDER BY ts").fetchall()
    assert [at_utc(dict(zip(TYPES, row, strict=True))) for row in rows] == EVENTS
    folders = database.sql("SELECT DISTINCT region, date, hour FROM events ORDER BY date, hour").fetchall()
    assert folders == [("eu-west-1", hour.date(), hour.hour) for hour in HOURS]
    plan = database.sql("EXPLAIN ANALYZE SELECT sum(id) FROM events WHERE date = '2026-03-01' AND hour = 7")
    assert re.search(r"Files Read: 1\b|Scanning Files: 1/3", str(plan.fetchall())), plan.fetchall()
    names = database.sql("SELECT name, sum(events)::BIGINT FROM by_name GROUP BY name ORDER BY name").fetchall()
    assert names == [(name, EACH) for name in NAMES]


def test_duckdb_applies(written, monkeypatch):
    """The program beside the tests' Python."""
    monkeypatch.setitem(written.environment, "PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    database = written.folder / "lake.duckdb"
    ddl(written, "--for", "duckdb", "--apply", str(database))
    with duckdb.connect(str(database)) as opened:
        assert opened.sql("SELECT count(*) FROM events").fetchall() == [(len(EVENTS),)]


def test_spark(written, spark):
    for statement in ddl(written, "--for", "spark").split(";\n"):
        if statement.strip():
            spark.sql(statement)
    rows = spark.sql("SELECT * FROM events ORDER BY ts").collect()
    assert [at_utc({name: plain(row[name]) for name in TYPES}) for row in rows] == EVENTS
    folders = spark.sql("SELECT DISTINCT region, date, hour FROM events ORDER BY date, hour").collect()
    assert [tuple(row) for row in folders] == [("eu-west-1", hour.date(), hour.hour) for hour in HOURS]
    files = spark.sql("SELECT DISTINCT input_file_name() FROM events WHERE date = DATE'2026-03-01' AND hour = 7")
    assert files.count() == 1
    names = spark.sql("SELECT name, sum(events) FROM by_name GROUP BY name ORDER BY name").collect()
    assert [tuple(row) for row in names] == [(name, EACH) for name in NAMES]
