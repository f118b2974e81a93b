"""Asks chDB, which is ClickHouse in a process: QUESTION FILE OUT CORES."""

import sys

import chdb

ORDERS = """
(SELECT toStartOfInterval(ts, INTERVAL 10 SECOND, 'UTC') AS pane, * FROM file('{file}', 'JSONEachRow',
    'ts DateTime64(3, \\'UTC\\'), region LowCardinality(String), country LowCardinality(String), type LowCardinality(String),
     user_id Int64, amount Float64'))
"""

SQL = {
    "q1": """
SELECT pane AS window_start, country, type, count() AS events, sum(amount) AS revenue, avg(amount) AS mean,
    max(amount) AS most
FROM {orders} GROUP BY pane, country, type""",
    # Panes first: a user's rows are handed to six windows once they are one.
    "q2": """
SELECT window_start, user_id, sum(events) AS events, sum(revenue) AS revenue
FROM (SELECT pane, user_id, count() AS events, sum(amount) AS revenue FROM {orders} GROUP BY pane, user_id)
ARRAY JOIN arrayMap(back -> pane - 10 * back, range(6)) AS window_start
GROUP BY window_start, user_id""",
    "q3": """
SELECT pane AS window_start, region AS cloud_region, uniqExact(user_id) AS users, quantileDD(0.01, 0.99)(amount) AS p99
FROM {orders} GROUP BY pane, region""",
}

SETTINGS = "max_threads = {cores}, date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1"


def main() -> None:
    question, file, out, cores = sys.argv[1:]
    select = SQL[question].format(orders=ORDERS.format(file=file))
    chdb.query(
        f"INSERT INTO FUNCTION file('{out}/answer.parquet', 'Parquet') {select} SETTINGS {SETTINGS.format(cores=cores)}"
    )


if __name__ == "__main__":
    main()
