"""Trino, which sees what is declared: so it reads by way of `watershed ddl`."""

import datetime
from typing import Any

import trino

from ..trino import Trino as Server
from .reader import Answer, Engine, Place

CATALOGS = {"parquet": "hive", "delta": "delta"}
SELECTING = {
    "parquet": "WHERE date = DATE '2026-02-28' AND moment < TIMESTAMP '1970-01-01 00:00:00' AND price < 0",
    "delta": "WHERE date = DATE '2026-02-28' AND moment < TIMESTAMP '1970-01-01 00:00:00 UTC' AND price < 0",
}


class Trino(Engine):
    name = "Trino"
    ddl = "trino"
    selecting = SELECTING

    def __init__(self, server: Server):
        self._server = server
        for catalog in CATALOGS.values():
            self._run(catalog, "CREATE SCHEMA IF NOT EXISTS default")

    def version(self) -> str:
        return self._server.version().removeprefix("Trino ")

    def read(self, place: Place, selecting: bool = False) -> Answer:
        raise NotImplementedError("reads what is declared")

    def declared(self, statements: str, place: Place, table: str, condition: str = "") -> Answer:
        catalog = CATALOGS[place.sink]
        for statement in statements.split(";\n"):
            if statement.strip():
                self._run(catalog, statement)
        try:
            return self._run(catalog, f"SELECT * FROM {table} {condition}")
        finally:
            self._run(catalog, f"DROP TABLE {table}")

    def _run(self, catalog: str, statement: str) -> Answer:
        place = {"catalog": catalog, "schema": "default", "timezone": "UTC"}
        with trino.dbapi.connect(host="127.0.0.1", port=self._server.port, user="trial", **place) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall()
            types = {column[0]: column[1] for column in cursor.description or []}
        return Answer(types, [dict(zip(types, map(plain, row), strict=True)) for row in rows])


def plain(value: Any) -> Any:
    """A value of Trino's client as Python has it; a moment without a zone is in UTC."""
    match value:
        case trino.types.NamedRowTuple():
            return dict(zip(value._names, map(plain, value), strict=True))
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case list():
            return [plain(one) for one in value]
        case datetime.datetime() if value.tzinfo is None:
            return value.replace(tzinfo=datetime.UTC)
    return value
