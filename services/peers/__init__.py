"""Peers: the same file and the same questions through Watershed and through other engines on one machine.

A [peer](peer.py) is a program that reads the [workload](workload.py)'s file, answers one of its three questions, and ends when
the answer is in Parquet files. DuckDB, Polars and chDB answer in one batch: they know that the file ends, and keep neither a
watermark nor a checkpoint, so they are what hardware and format allow rather than rivals. Flink and Spark stream. The
[meter](meter.py) times a run with all of its processes; the [verdict](verdict.py) compares its rows with Watershed's.
"""
