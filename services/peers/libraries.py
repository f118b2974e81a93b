"""The engines that are a module of Python and answer in one batch."""

from pathlib import Path

from .peer import Library


class DuckDB(Library):
    name = "DuckDB"
    module = "duckdb"
    settings = "a thread a core, `preserve_insertion_order = false`, columns and types given, exact p99 by `quantile_cont`"


class Polars(Library):
    name = "Polars"
    module = "polars"
    settings = "a thread a core, lazy with the streaming engine, schema given, exact p99"

    def environment(self, folder: Path, cores: int) -> dict[str, str]:
        return super().environment(folder, cores) | {"POLARS_MAX_THREADS": str(cores)}


class ChDB(Library):
    name = "chDB"
    module = "chdb"
    settings = "a thread a core, schema given, p99 by `quantileDD` with 1 % error"
