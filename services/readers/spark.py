"""Spark, with the jars of Delta Lake and of S3."""

import datetime
import os
import time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from ..maven import jars
from .reader import Answer, Engine, Place

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Rows are few.
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}

SELECTING = "WHERE date = DATE'2026-02-28' AND moment < TIMESTAMP'1970-01-01 00:00:00Z' AND price < 0"


def session(folder: Path) -> SparkSession:
    """The session of this process, which has one JVM for as long as it lives. Moments come in this process's time zone:
    that is UTC from now on."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    builder = SparkSession.builder.master("local[2]")
    added = ",".join(str(jar) for jar in jars("spark").iterdir())
    for name, value in (SETTINGS | {"spark.jars": added, "spark.sql.warehouse.dir": str(folder)}).items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


class Spark(Engine):
    name = "Spark"
    ddl = "spark"
    selecting = dict.fromkeys(("parquet", "delta"), SELECTING)

    def __init__(self, made: SparkSession):
        self._session = made

    def version(self) -> str:
        return self._session.version

    def read(self, place: Place, selecting: bool = False) -> Answer:
        self._reach(place)
        frame = self._session.read.format(place.sink).load(place.url.replace("s3://", "s3a://"))
        return answer(frame.where(SELECTING.removeprefix("WHERE ")) if selecting else frame)

    def declared(self, statements: str, place: Place, table: str, condition: str = "") -> Answer:
        self._reach(place)
        for statement in statements.split(";\n"):
            if statement.strip():
                self._session.sql(statement)
        try:
            return answer(self._session.sql(f"SELECT * FROM {table} {condition}"))
        finally:
            self._session.sql(f"DROP TABLE {table}")

    def _reach(self, place: Place) -> None:
        if not place.endpoint:
            return
        settings = {"endpoint": place.endpoint, "endpoint.region": place.region, "path.style.access": "true"}
        # Another kind would keep small files, and open nothing a second time.
        settings |= {"input.stream.type": "classic"}
        settings |= {"access.key": place.key, "secret.key": place.secret, "connection.ssl.enabled": "false"}
        hadoop = self._session.sparkContext._jsc.hadoopConfiguration()
        for name, value in settings.items():
            hadoop.set(f"fs.s3a.{name}", value)


def answer(frame: DataFrame) -> Answer:
    types = {field.name: field.dataType.simpleString() for field in frame.schema}
    return Answer(types, [plain(row) for row in frame.collect()])


def plain(value: Any) -> Any:
    """A value of Spark as Python has it."""
    if hasattr(value, "asDict"):
        return {name: plain(one) for name, one in value.asDict().items()}
    match value:
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case list():
            return [plain(one) for one in value]
        case bytearray():
            return bytes(value)
        case datetime.datetime():
            return value.replace(tzinfo=datetime.UTC)
    return value
