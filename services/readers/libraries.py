"""Readers that are Python libraries. This runs in a process of its own, perhaps with another Python than ours."""

import datetime
import decimal
import sys
from pathlib import Path

from .reader import Answer, Place, Row

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.date(2026, 2, 28)
ZERO = decimal.Decimal(0)


class PyArrow:
    """Datasets, of files that lie there or, for Delta, that delta-rs names."""

    def version(self) -> str:
        import pyarrow

        return pyarrow.__version__

    def read(self, place: Place, selecting: bool) -> Answer:
        import pyarrow.compute as pc

        dataset = self._delta(place) if place.sink == "delta" else self._parquet(place)
        chosen = None
        if selecting:
            chosen = (pc.field("date") == DAY) & (pc.field("moment") < EPOCH) & (pc.field("price") < ZERO)
        return of_arrow(dataset.to_table(filter=chosen))

    def _parquet(self, place: Place):
        import pyarrow as pa
        import pyarrow.dataset as ds
        from pyarrow.fs import LocalFileSystem, S3FileSystem

        kinds = {"region": pa.string(), "date": pa.date32(), "hour": pa.int32(), "kind": pa.string()}
        kinds |= {"grade": pa.int32(), "born": pa.date32()}
        levels = ds.partitioning(pa.schema([(level, kinds[level]) for level in place.levels]), flavor="hive")
        files = LocalFileSystem()
        if place.endpoint:
            address = place.endpoint.removeprefix("http://")
            who = {"access_key": place.key, "secret_key": place.secret, "region": place.region}
            files = S3FileSystem(endpoint_override=address, scheme="http", **who)
        return ds.dataset(place.url.removeprefix("s3://"), filesystem=files, format="parquet", partitioning=levels)

    def _delta(self, place: Place):
        from deltalake import DeltaTable

        return DeltaTable(place.url, storage_options=for_rust(place)).to_pyarrow_dataset()


class Polars:
    def version(self) -> str:
        import polars

        return polars.__version__

    def read(self, place: Place, selecting: bool) -> Answer:
        import polars as pl

        options = for_rust(place) or None
        if place.sink == "delta":
            frame = pl.scan_delta(place.url, storage_options=options)
        else:
            files = f"{place.url}/**/*.parquet"
            frame = pl.scan_parquet(files, hive_partitioning=bool(place.levels), storage_options=options)
        if selecting:
            frame = frame.filter(pl.col("date") == DAY, pl.col("moment") < EPOCH, pl.col("price") < ZERO)
        frame = frame.collect()
        return Answer({name: str(kind) for name, kind in frame.schema.items()}, frame.to_dicts())


class DeltaRs:
    """delta-rs with the query engine that it comes with."""

    def version(self) -> str:
        import deltalake

        return deltalake.__version__

    def read(self, place: Place, selecting: bool) -> Answer:
        import pyarrow as pa
        from deltalake import DeltaTable, QueryBuilder

        table = DeltaTable(place.url, storage_options=for_rust(place))
        chosen = f"WHERE date = DATE '{DAY}' AND moment < '1970-01-01T00:00:00Z' AND price < 0" if selecting else ""
        found = QueryBuilder().register("it", table).execute(f"SELECT * FROM it {chosen}")
        return of_arrow(pa.table(found.read_all()))


class DeltaKernel:
    """Delta's own kernel, as Delta Sharing's client has it: it takes no condition, and no keys of a store."""

    def version(self) -> str:
        from importlib.metadata import version

        return version("delta-kernel-rust-sharing-wrapper")

    def read(self, place: Place, selecting: bool) -> Answer:
        import delta_kernel_rust_sharing_wrapper as kernel

        if selecting:
            raise NotImplementedError("takes no condition")
        url = f"file://{place.url}"
        interface = kernel.PythonInterface(url)
        snapshot = kernel.Table(url).snapshot(interface)
        return of_arrow(kernel.ScanBuilder(snapshot).build().execute(interface).read_all())


class DuckDb:
    """With its extensions for S3 and Delta, which come from PyPI, too."""

    SELECTING = f"WHERE date = '{DAY}' AND moment < '1970-01-01 00:00:00+00' AND price < 0"

    def __init__(self) -> None:
        import duckdb
        from duckdb_extensions import import_extension

        extensions = Path(sys.prefix) / "extensions"
        self._database = duckdb.connect(config={"extension_directory": str(extensions), "threads": 2})
        for name in ("httpfs", "delta"):
            import_extension(name, con=self._database)
            self._database.execute(f"LOAD {name}")
        self._database.execute("SET TimeZone = 'UTC'")
        # Else it would open nothing a second time.
        self._database.execute("SET enable_external_file_cache = false")

    def version(self) -> str:
        import duckdb

        return duckdb.__version__

    def read(self, place: Place, selecting: bool) -> Answer:
        self._reach(place)
        source = f"delta_scan('{place.url}')"
        if place.sink == "parquet":
            source = f"read_parquet('{place.url}/**/*.parquet', hive_partitioning = {bool(place.levels)})"
        return self._asked(f"SELECT * FROM {source} {self.SELECTING if selecting else ''}")

    def declared(self, statements: str, place: Place, table: str, condition: str) -> Answer:
        self._reach(place)
        self._database.execute(statements)
        try:
            return self._asked(f"SELECT * FROM {table} {condition}")
        finally:
            self._database.execute(f"DROP VIEW {table}")

    def _reach(self, place: Place) -> None:
        if place.endpoint:
            address = place.endpoint.removeprefix("http://")
            who = f"KEY_ID '{place.key}', SECRET '{place.secret}', REGION '{place.region}'"
            where = f"ENDPOINT '{address}', USE_SSL false, URL_STYLE 'path'"
            self._database.execute(f"CREATE OR REPLACE SECRET store (TYPE s3, {who}, {where})")

    def _asked(self, query: str) -> Answer:
        found = self._database.sql(query)
        types = dict(zip(found.columns, map(str, found.types), strict=True))
        return Answer(types, [dict(zip(types, row, strict=True)) for row in found.fetchall()])


ALL = {"PyArrow": PyArrow, "Polars": Polars, "DuckDB": DuckDb, "delta-rs": DeltaRs, "delta-kernel": DeltaKernel}


def for_rust(place: Place) -> dict[str, str]:
    """How object_store is told of an S3."""
    if not place.endpoint:
        return {}
    who = {"aws_access_key_id": place.key, "aws_secret_access_key": place.secret, "aws_region": place.region}
    return who | {"aws_endpoint_url": place.endpoint, "aws_allow_http": "true"}


def of_arrow(table) -> Answer:
    rows: list[Row] = table.to_pylist(maps_as_pydicts="strict")
    return Answer({field.name: str(field.type) for field in table.schema}, rows)
