"""`watershed query --all`: the answer over many regions is that of DuckDB over all their rows, and no row leaves."""

import datetime
import http.client
import json
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ..daemon import Daemon, program
from ..ports import LOOPBACK, answers, free

TOKEN = "marked-query-token"

REGION = """
region = "{region}"
{more}
[sources.orders]
{source}
[sinks.events]
connector = "parquet"
url = "{folder}/var/lake/events"
partition_by = ["date"]
[sinks.counts]
connector = "parquet"
url = "{folder}/var/lake/counts"
partition_by = ["region", "date", "hour"]
roll = {{ every = "100ms", idle = "100ms" }}
[pipelines.events]
sink = "events"
sql = "SELECT ts, country, type, user_id, amount FROM orders"
[pipelines.counts]
sink = "counts"
sql = '''
SELECT window_start, country, count(*) AS orders, sum(amount) AS revenue
FROM tumble(orders, INTERVAL '1 second') GROUP BY window_start, country'''
"""

GENERATOR = """
connector = "generator"
profile = "orders"
events = {events}
seed = {seed}
start = "2026-03-01T0{hour}:59:50Z"
"""

# The same columns, from whoever sends some: a daemon that stays.
PUSHED = """
connector = "http"
event_time = "ts"
schema = { ts = "timestamp", country = "string", type = "string", user_id = "bigint", amount = "double" }
"""

SIZES = {"eu": 40_000, "us": 25_000, "asia": 10_000}

QUERIES = [
    "SELECT count(*) AS n, sum(orders) AS orders, min(window_start) AS first, max(window_start) AS last FROM counts",
    "SELECT region, country, sum(orders) AS n, avg(revenue) AS mean FROM counts GROUP BY region, country",
    "SELECT region, count(*) AS n FROM events WHERE type = 'purchase' AND region <> 'us' GROUP BY region",
    "SELECT window_start, sum(revenue) AS revenue FROM counts GROUP BY window_start HAVING sum(orders) > 100",
    "SELECT upper(country) AS c, count(*) FILTER (WHERE amount > 50) AS large, stddev(amount) AS spread FROM events GROUP BY 1",
    "SELECT country, count(*) AS n FROM events GROUP BY country ORDER BY n DESC, country LIMIT 3",
    "WITH c AS (SELECT country, sum(orders) AS n FROM counts GROUP BY country), "
    "e AS (SELECT country, count(*) AS n FROM events GROUP BY country) "
    "SELECT c.country, c.n - e.n AS lost FROM c JOIN e ON c.country = e.country",
    "SELECT avg(n) AS mean FROM (SELECT country, count(*) AS n FROM events GROUP BY country)",
    "SELECT DISTINCT country FROM counts WHERE orders > 1",
    "SELECT count(DISTINCT country) AS countries FROM events",
    "SELECT country, sum(orders) * 100.0 / (SELECT sum(orders) FROM counts) AS share FROM counts GROUP BY country",
    "SELECT region, rank() OVER (ORDER BY sum(orders) DESC) AS place FROM counts GROUP BY region",
    "SELECT count(*) AS n, sum(amount) AS none FROM events WHERE amount < -1000",
    "SELECT country, count(*) AS n FROM events WHERE amount < -1000000 GROUP BY country",
    "SELECT count(*) AS n, avg(revenue) AS mean FROM counts WHERE region = 'asia'",
    "SELECT count(*) AS n, max(revenue) AS most FROM counts WHERE region = 'mars'",
]

ROWS = [
    ("SELECT * FROM events", "takes rows out of `events`"),
    ("SELECT amount FROM events LIMIT 1", "takes rows out of `events`"),
    ("SELECT array_agg(user_id) FROM events", "`array_agg` is not merged"),
    ("SELECT max(type) FROM events", "text out of one row"),
    ("SELECT first_value(amount ORDER BY ts) FROM events", "`first_value` is not merged"),
    ("SELECT median(amount) FROM events", "`median` is not merged"),
    ("SELECT count(*) FROM events a JOIN counts b ON a.country = b.country", "takes rows out of"),
    ("SELECT user_id, ts, amount, count(*) FROM events GROUP BY user_id, ts, amount", "most groups are an event"),
    ("SELECT user_id, ts, amount FROM events WHERE amount > 400 GROUP BY 1, 2, 3", "most groups are an event"),
]


class Regions:
    """Three lakes. That of `eu` is in a region whose rows stay there, with a daemon that answers for it."""

    def __init__(self, folder: Path):
        self.folder = folder
        (self.port,) = free(1)
        self.answering = f"""
[residency]
allow = ["eu"]
[http]
listen = "{LOOPBACK}:{self.port}"
query_token = "${{EU_TOKEN}}"
"""
        self.environment = {"EU_TOKEN": TOKEN}
        self.daemons = {name: self._filled(name) for name in SIZES}
        eu = self.folder / "eu" / "region.toml"
        eu.write_text(self._region("eu", PUSHED, self.answering))

    def _region(self, name: str, source: str, more: str = "") -> str:
        return REGION.format(region=name, source=source, more=more, folder=self.folder / name)

    def _filled(self, name: str) -> Daemon:
        seed = list(SIZES).index(name) + 1
        (self.folder / name).mkdir()
        source = GENERATOR.format(events=SIZES[name], seed=seed, hour=seed)
        daemon = Daemon(self.folder / name, self._region(name, source), self.environment)
        daemon.start()
        daemon.report()
        return daemon

    def begin(self) -> None:
        """Starts the daemon of `eu`."""
        eu = self.daemons["eu"]
        eu.start()
        eu.until(lambda: answers(self.port), "the daemon to listen")
        eu.until(lambda: self.health() == "running", "the daemon to run")

    def health(self) -> str:
        return json.loads(self.request("GET", "/healthz")[1])["status"]

    def request(self, method: str, path: str, body: str = "", token: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def ask(self, sql: str, *files: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
        """Asks all regions, or those whose files are named."""
        named = files or [f"{name}/region.toml" for name in SIZES]
        return subprocess.run(
            [program(), "query", "--all", *named, sql, "--format", "json"],
            cwd=self.folder,
            env=os.environ | {"EU_TOKEN": token},
            capture_output=True,
            text=True,
        )

    def expected(self, sql: str, names: list[str] | None = None) -> list[dict]:
        """What DuckDB says about all rows in one place."""
        duck = duckdb.connect(config={"threads": 1})
        duck.execute("SET TimeZone = 'UTC'")
        for table, time in (("events", "ts"), ("counts", "window_start")):
            parts = [
                f"SELECT * REPLACE ({time}::TIMESTAMP AS {time}), '{name}' AS region "
                f"FROM read_parquet('{self.folder}/{name}/var/lake/{table}/**/*.parquet', hive_partitioning = false)"
                for name in names or SIZES
            ]
            duck.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(parts)}")
        result = duck.execute(sql)
        columns = [column[0] for column in result.description]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]

    def close(self) -> None:
        for daemon in self.daemons.values():
            daemon.close()


@pytest.fixture(scope="module")
def regions(tmp_path_factory) -> Iterator[Regions]:
    made = Regions(tmp_path_factory.mktemp("regions"))
    try:
        made.begin()
        yield made
    finally:
        made.close()


def plain(value):
    """A value as JSON spells it."""
    return f"{value.isoformat()}Z" if isinstance(value, datetime.datetime) else value


def same(found: list[dict], expected: list[dict]) -> None:
    def order(rows: list[dict]) -> list[tuple]:
        kept = [tuple(plain(row[key]) for key in expected[0]) for row in rows] if expected else []
        return sorted(kept, key=lambda row: [str(value) for value in row if not isinstance(value, float)])

    assert len(found) == len(expected), (found, expected)
    for ours, theirs in zip(order(found), order(expected), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if isinstance(a, float) or isinstance(b, float):
                assert math.isclose(a, float(b), rel_tol=1e-9), (ours, theirs)
            else:
                assert str(a) == str(b), (ours, theirs)


@pytest.mark.parametrize("sql", QUERIES)
def test_the_answer_is_that_over_all_rows_in_one_place(regions: Regions, sql: str):
    asked = regions.ask(sql)
    assert asked.returncode == 0 and asked.stderr == "", asked.stderr
    same(json.loads(asked.stdout), regions.expected(sql))


@pytest.mark.parametrize(("sql", "why"), ROWS)
def test_rows_stay_where_residency_keeps_them(regions: Regions, sql: str, why: str):
    asked = regions.ask(sql)
    assert asked.returncode == 2 and asked.stdout == "", asked.stdout
    assert "region `eu`" in asked.stderr and why in asked.stderr and "help:" in asked.stderr, asked.stderr
    status, body = regions.request("POST", "/query/eu", sql, TOKEN)
    assert status == 422 and why in json.loads(body)["error"], body


def test_a_single_event_stays_where_residency_keeps_it(regions: Regions):
    """However few groups there are: one that is a single event is left out and counted; a query about one is refused."""
    events = f"read_parquet('{regions.folder}/eu/var/lake/events/**/*.parquet', hive_partitioning = false)"
    counts = f"SELECT user_id, count(*) AS n FROM {events} GROUP BY user_id"
    once = duckdb.sql(f"SELECT min(user_id) FROM ({counts}) WHERE n = 1").fetchall()[0][0]
    often = duckdb.sql(f"SELECT user_id FROM ({counts}) WHERE n > 1 ORDER BY user_id LIMIT 2").fetchall()
    users = ", ".join(str(user) for user in (once, *(user for (user,) in often)))

    sql = f"SELECT region, user_id, count(*) AS n FROM events WHERE user_id IN ({users}) GROUP BY region, user_id"
    asked = regions.ask(sql)
    assert asked.returncode == 0, asked.stderr
    assert "groups of a single event stay in their region" in asked.stderr and "groups=1" in asked.stderr, asked.stderr
    all_groups = regions.expected(sql)
    hidden = [row for row in all_groups if (row["region"], row["user_id"]) == ("eu", once)]
    assert len(hidden) == 1
    same(json.loads(asked.stdout), [row for row in all_groups if row not in hidden])

    sql = f"SELECT avg(amount) AS amount FROM events WHERE user_id = {once}"
    asked = regions.ask(sql)
    assert asked.returncode == 2 and asked.stdout == "", asked.stdout
    assert "region `eu` is too fine: it is about a single event" in asked.stderr, asked.stderr


def test_rows_move_where_no_region_keeps_them(regions: Regions):
    sql = "SELECT region, country, amount FROM events WHERE amount > 400 ORDER BY amount DESC, country LIMIT 50"
    asked = regions.ask(sql, "us/region.toml", "asia/region.toml")
    assert asked.returncode == 0, asked.stderr
    same(json.loads(asked.stdout), regions.expected(sql, ["us", "asia"]))


def test_only_who_has_the_token_gets_an_answer(regions: Regions):
    sql = "SELECT count(*) FROM events"
    for token in (None, "", "marked-query-toke", TOKEN + "s"):
        assert regions.request("POST", "/query/eu", sql, token)[0] == 401
    assert regions.request("POST", "/query/us", sql, TOKEN)[0] == 404
    assert regions.request("GET", "/query/eu", "", TOKEN)[0] == 405
    status, body = regions.request("POST", "/query/eu", "SELECT * FROM nothing", TOKEN)
    assert status == 422 and TOKEN not in body.decode()
    asked = regions.ask(sql, token="another-token")
    assert asked.returncode == 1 and "does not know the token" in asked.stderr
    assert "another-token" not in asked.stderr and TOKEN not in asked.stderr


def test_a_region_that_cannot_be_asked_is_told(regions: Regions):
    """The last trial: it ends the daemon."""
    regions.daemons["eu"].stop()
    sql = "SELECT count(*) AS n FROM events"
    asked = regions.ask(sql)
    assert asked.returncode == 1 and asked.stdout == ""
    assert "the daemon of region `eu`" in asked.stderr and "its lake is not read from here" in asked.stderr
    eu = regions.folder / "eu" / "region.toml"
    eu.write_text(eu.read_text().replace('[residency]\nallow = ["eu"]\n', ""))
    asked = regions.ask(sql)
    assert asked.returncode == 0 and "reading its lake from here" in asked.stderr, asked.stderr
    same(json.loads(asked.stdout), regions.expected(sql))
