"""Asks Polars: QUESTION FILE OUT CORES."""

import sys

import polars as pl

SCHEMA = {
    "ts": pl.String,
    "region": pl.String,
    "country": pl.String,
    "type": pl.String,
    "user_id": pl.Int64,
    "amount": pl.Float64,
}


def q1(orders: pl.LazyFrame) -> pl.LazyFrame:
    amount = pl.col("amount")
    return orders.group_by("window_start", "country", "type").agg(
        pl.len().alias("events"),
        amount.sum().alias("revenue"),
        amount.mean().alias("mean"),
        amount.max().alias("most"),
    )


def q2(orders: pl.LazyFrame) -> pl.LazyFrame:
    # Panes first: a user's rows are handed to six windows once they are one.
    panes = orders.group_by("window_start", "user_id").agg(
        pl.len().alias("events"), pl.col("amount").sum().alias("revenue")
    )
    windows = [panes.with_columns(pl.col("window_start") - pl.duration(seconds=10 * back)) for back in range(6)]
    return pl.concat(windows).group_by("window_start", "user_id").agg(pl.col("events").sum(), pl.col("revenue").sum())


def q3(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.group_by("window_start", pl.col("region").alias("cloud_region")).agg(
        pl.col("user_id").n_unique().alias("users"),
        pl.col("amount").quantile(0.99, "linear").alias("p99"),
    )


def main() -> None:
    question, file, out, _ = sys.argv[1:]
    moment = pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ms")
    orders = pl.scan_ndjson(file, schema=SCHEMA).with_columns(moment.dt.truncate("10s").alias("window_start"))
    answer = {"q1": q1, "q2": q2, "q3": q3}[question](orders)
    answer.sink_parquet(f"{out}/answer.parquet", compression="zstd", engine="streaming")


if __name__ == "__main__":
    main()
