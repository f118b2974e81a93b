"""Asks DuckDB: QUESTION FILE OUT CORES."""

import sys

import duckdb

ORDERS = """
SELECT time_bucket(INTERVAL '10 seconds', ts) AS pane, * FROM read_json('{file}', format = 'newline_delimited',
    columns = {{ts: 'TIMESTAMP', region: 'VARCHAR', country: 'VARCHAR', type: 'VARCHAR', user_id: 'BIGINT', amount: 'DOUBLE'}})
"""

SQL = {
    "q1": """
SELECT pane AS window_start, country, type, count(*) AS events, sum(amount) AS revenue, avg(amount) AS mean,
    max(amount) AS most
FROM orders GROUP BY ALL""",
    # Panes first: a user's rows are handed to six windows once they are one.
    "q2": """
WITH panes AS (SELECT pane, user_id, count(*) AS events, sum(amount) AS revenue FROM orders GROUP BY ALL)
SELECT pane - back AS window_start, user_id, sum(events)::BIGINT AS events, sum(revenue) AS revenue
FROM panes, (SELECT unnest(range(6)) * INTERVAL '10 seconds' AS back) GROUP BY ALL""",
    "q3": """
SELECT pane AS window_start, region AS cloud_region, count(DISTINCT user_id) AS users, quantile_cont(amount, 0.99) AS p99
FROM orders GROUP BY ALL""",
}


def main() -> None:
    question, file, out, cores = sys.argv[1:]
    duck = duckdb.connect(config={"threads": int(cores), "preserve_insertion_order": False})
    duck.execute(f"CREATE VIEW orders AS {ORDERS.format(file=file)}")
    duck.execute(f"COPY ({SQL[question]}) TO '{out}/answer.parquet' (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main()
