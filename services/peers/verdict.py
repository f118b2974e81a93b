"""Whether two engines gave the same answer."""

from dataclasses import dataclass

import duckdb

from .workload import Question


@dataclass(frozen=True)
class Verdict:
    rows: int
    differing: int
    """Rows that only one has, or whose values are too far from each other."""

    def __str__(self) -> str:
        return "same" if self.differing == 0 else f"{self.differing:,} differ"


def compare(question: Question, theirs: str, ours: str) -> Verdict:
    """Row by row, by its keys; globs say where the answers are. A moment is taken in milliseconds, as types differ."""
    duck = duckdb.connect()
    # Whoever says a window without a time zone means UTC.
    duck.execute("SET TimeZone = 'UTC'")
    for name, files in (("theirs", theirs), ("ours", ours)):
        columns = ", ".join(
            "epoch_ms(window_start) AS window_start" if one == "window_start" else one
            for one in (*question.keys, *question.values)
        )
        duck.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet('{files}')")
    apart = " OR ".join(
        f"t.{name} IS NULL OR o.{name} IS NULL OR abs(t.{name} - o.{name}) > {within} * greatest(1, abs(o.{name}))"
        for name, within in question.values.items()
    )
    keys = ", ".join(question.keys)
    (differing,) = duck.execute(
        f"SELECT count(*) FROM theirs AS t FULL JOIN ours AS o USING ({keys}) WHERE {apart}"
    ).fetchone()
    (rows,) = duck.execute("SELECT count(*) FROM theirs").fetchone()
    return Verdict(rows, differing)
