"""Asks Spark: QUESTION PARTS FOLDER."""

import sys

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f

SCHEMA = "ts TIMESTAMP, region STRING, country STRING, type STRING, user_id BIGINT, amount DOUBLE"


def window(slide: str | None = None) -> Column:
    return f.window("ts", "1 minute", slide) if slide else f.window("ts", "10 seconds")


def q1(orders: DataFrame) -> DataFrame:
    return orders.groupBy(window(), "country", "type").agg(
        f.count("*").alias("events"),
        f.sum("amount").alias("revenue"),
        f.avg("amount").alias("mean"),
        f.max("amount").alias("most"),
    )


def q2(orders: DataFrame) -> DataFrame:
    return orders.groupBy(window("10 seconds"), "user_id").agg(
        f.count("*").alias("events"), f.sum("amount").alias("revenue")
    )


def q3(orders: DataFrame) -> DataFrame:
    return orders.groupBy(window(), f.col("region").alias("cloud_region")).agg(
        f.size(f.collect_set("user_id")).alias("users"),
        f.percentile_approx("amount", 0.99, 10_000).alias("p99"),
    )


def main() -> None:
    question, parts, folder = sys.argv[1:]
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    orders = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(parts).withWatermark("ts", "2 seconds")
    answer = {"q1": q1, "q2": q2, "q3": q3}[question](orders)
    answer = answer.withColumn("window_start", f.col("window.start")).drop("window")
    writer = answer.writeStream.format("parquet").outputMode("append").trigger(availableNow=True)
    writer.option("checkpointLocation", f"{folder}/state").start(f"{folder}/out").awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
