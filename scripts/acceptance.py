#!/usr/bin/env python3
"""Asks Watershed and DuckDB the same questions about real data and compares the answers, row by row.

    scripts/acceptance.py --watershed target/release/watershed --data DIR

DIR holds flights.ndjson.gz, nab/*.csv and web/nginx.ndjson. Watershed streams the files through its windows into
Parquet; DuckDB reads the raw files in one batch. Rows must be equal to the last one, doubles to 1e-9 of their size.

DuckDB is installed into a virtual environment in the user's cache folder when it is missing. `--install-only` does no
more than that.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

DUCKDB = "2.0.0"
TOLERANCE = 1e-9


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "watershed"


def enter_environment() -> None:
    """Goes on under a Python that has the pinned DuckDB, made on the first use."""
    try:
        import duckdb

        if duckdb.__version__ == DUCKDB:
            return
    except ImportError:
        pass
    venv = cache() / "venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix) == venv:
        sys.exit(f"acceptance: {venv} has another duckdb than {DUCKDB}; remove the folder and start again")
    found = "import duckdb, sys; sys.exit(duckdb.__version__ != sys.argv[1])"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    if subprocess.run([python, "-c", found, DUCKDB], stderr=subprocess.DEVNULL).returncode != 0:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"duckdb=={DUCKDB}"]
        subprocess.run(install, check=True)
    os.execv(python, [str(python), *sys.argv])


class Checks:
    """Prints a line for each check and keeps the score."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, holds: bool, name: str, detail: str = "") -> None:
        self.passed += holds
        self.failed += not holds
        print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' + detail if detail else ''}", flush=True)


class Acceptance:
    def __init__(self, watershed: Path, data: Path, scratch: Path):
        import duckdb

        self.watershed = watershed
        self.data = data
        self.scratch = scratch
        self.checks = Checks()
        self.duck = duckdb.connect()
        # One thread reads a file in its own order, and row numbers then mean that order.
        self.duck.execute("SET TimeZone = 'UTC'; SET threads = 1")

    def run(self, name: str, region: str, kills: bool = False) -> dict | None:
        """Runs a region file in a folder of its own; gives its report, with the books checked. With `kills`, the run is
        killed again and again, and goes on from its last checkpoint each time."""
        folder = self.scratch / name
        folder.mkdir()
        (folder / "region.toml").write_text(region)
        command = [self.watershed, "run", "region.toml", "--quiet", "--report", "report.json"]
        if kills:
            self.checks.that(self.killed(command, folder) > 0, f"{name}: was killed on its way")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            self.checks.that(False, f"{name}: run", f"exit {done.returncode}\n{done.stdout}{done.stderr}")
            return None
        report = json.loads((folder / "report.json").read_text())
        for title, counts in {"all pipelines": report, **report["pipelines"]}.items():
            ends = {end: counts[end] for end in ("bad", "filtered", "late", "aggregated")}
            sums = " + ".join(f"{count} {end}" for end, count in ends.items())
            self.checks.that(
                counts["read"] == sum(ends.values()), f"{name}: books of {title}", f"{counts['read']} read = {sums}"
            )
        left = sum(counts["open_windows"] for counts in report["pipelines"].values())
        self.checks.that(left == 0, f"{name}: every window has closed", f"{left} were left open")
        return report

    def killed(self, command: list, folder: Path) -> int:
        """Kills runs at times drawn from a seed until one ends before its time; gives their number."""
        chance = random.Random(1)
        for kills in range(200):
            process = subprocess.Popen([*command, "--lanes", str(chance.randint(1, 4))], cwd=folder)
            try:
                process.wait(timeout=chance.uniform(0.05, 0.4))
                return kills
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return 200

    def lake(self, name: str, folder: str) -> str:
        """The table of what was written, for DuckDB."""
        return f"read_parquet('{self.scratch / name / folder}/**/*.parquet', hive_partitioning = false)"

    def same(self, name: str, written: str, expected: str, keys: int) -> None:
        """Compares two queries whose first `keys` columns tell rows apart."""
        order = " ORDER BY " + ", ".join(f"{key + 1} NULLS FIRST" for key in range(keys))
        try:
            got = self.duck.execute(written + order).fetchall()
            wanted = self.duck.execute(expected + order).fetchall()
        except Exception as error:  # whatever DuckDB says is the outcome of this check
            self.checks.that(False, name, str(error))
            return
        difference = next((pair for pair in zip(got, wanted) if not equal_rows(*pair)), None)
        if difference:
            self.checks.that(False, name, f"wrote {difference[0]}, expected {difference[1]}")
        elif not wanted:
            self.checks.that(False, name, "nothing to compare")
        else:
            self.checks.that(len(got) == len(wanted), name, f"{len(got)} rows, expected {len(wanted)}")

    def counted(self, name: str, got: int, query: str) -> None:
        wanted = self.duck.execute(query).fetchone()[0]
        self.checks.that(got == wanted, name, f"{got}, expected {wanted}")

    # Departures from New York in 2013, in the order in which the planes left: event time is up to 21.7 hours back.

    def flights(self) -> None:
        path = self.data / "flights.ndjson.gz"
        self.duck.execute(f"""
            CREATE TABLE flights AS
            SELECT *, row_number() OVER () AS number FROM read_json('{path}', format = 'newline_delimited', columns = {{
                scheduled: 'TIMESTAMP', carrier: 'VARCHAR', flight: 'BIGINT', tailnum: 'VARCHAR', origin: 'VARCHAR',
                dest: 'VARCHAR', dep_delay: 'BIGINT', arr_delay: 'BIGINT', air_time: 'BIGINT', distance: 'BIGINT'}})""")
        self.flights_in_time(path, "flights", kills=False)
        self.flights_in_time(path, "flights_killed", kills=True)
        self.flights_late(path)

    def flights_in_time(self, path: Path, run: str, kills: bool) -> None:
        pipelines = {
            "by_day": """
                SELECT window_start, window_end, origin, count(*) AS flights, count(dep_delay) AS departed,
                       avg(dep_delay) AS delay
                FROM tumble(flights, INTERVAL '1 day') GROUP BY window_start, window_end, origin""",
            "busiest": """
                SELECT window_start, place, origin, dest, flights FROM (
                    SELECT *, row_number() OVER (
                        PARTITION BY window_start, window_end ORDER BY flights DESC, origin, dest) AS place
                    FROM (SELECT window_start, window_end, origin, dest, count(*) AS flights
                          FROM tumble(flights, INTERVAL '1 hour') GROUP BY window_start, window_end, origin, dest)
                ) WHERE place <= 3""",
            "rotations": """
                SELECT window_start, window_end, tailnum, count(*) AS flights, sum(distance) AS miles,
                       max(arr_delay) AS worst
                FROM session(flights, INTERVAL '4 hours', tailnum) GROUP BY window_start, window_end, tailnum""",
            "sliding": """
                SELECT window_start, window_end, carrier, count(*) AS flights, avg(air_time) AS air_time,
                       min(dep_delay) AS best
                FROM hop(flights, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY window_start, window_end, carrier""",
            "cancelled": """
                SELECT scheduled, carrier, flight, origin FROM flights WHERE dep_delay IS NULL""",
        }
        region = flights_source(path, "48h") + lakes(pipelines) + '[checkpoint]\ninterval = "20ms"\n'
        report = self.run(run, region, kills)
        if report is None:
            return
        self.counted(f"{run}: records read", report["lifetime"]["read"], "SELECT count(*) FROM flights")
        self.checks.that(report["lifetime"]["late"] == 0, f"{run}: nothing is late behind 48 h", f"{report['lifetime']['late']} late")
        self.checks.that(report["lifetime"]["bad"] == 0, f"{run}: nothing is bad", f"{report['lifetime']['bad']} bad")
        self.same(
            f"{run}: flights per day and origin with average delay",
            f"""SELECT epoch_us(window_start), origin, epoch_us(window_end), flights, departed, delay
                FROM {self.lake(run, 'by_day')}""",
            """SELECT epoch_us(date_trunc('day', scheduled)), origin, epoch_us(date_trunc('day', scheduled) + INTERVAL 1 DAY),
                      count(*), count(dep_delay), avg(dep_delay)
               FROM flights GROUP BY ALL""",
            keys=2,
        )
        self.same(
            f"{run}: three busiest routes per hour",
            f"SELECT epoch_us(window_start), place, origin, dest, flights FROM {self.lake(run, 'busiest')}",
            """SELECT epoch_us(hour), place, origin, dest, flights FROM (
                   SELECT *, row_number() OVER (PARTITION BY hour ORDER BY flights DESC, origin, dest) AS place
                   FROM (SELECT date_trunc('hour', scheduled::TIMESTAMP) AS hour, origin, dest, count(*) AS flights
                         FROM flights GROUP BY ALL)
               ) WHERE place <= 3""",
            keys=2,
        )
        self.same(
            f"{run}: sessions per tail number with a gap of 4 h",
            f"""SELECT tailnum, epoch_us(window_start), epoch_us(window_end), flights, miles, worst
                FROM {self.lake(run, 'rotations')}""",
            """WITH marked AS (
                   SELECT *, coalesce(scheduled >= lag(scheduled) OVER own + INTERVAL 4 HOUR, true) AS begins
                   FROM flights WINDOW own AS (PARTITION BY tailnum ORDER BY scheduled, number)
               ), numbered AS (
                   SELECT *, sum(begins::INT) OVER (
                       PARTITION BY tailnum ORDER BY scheduled, number ROWS UNBOUNDED PRECEDING) AS session FROM marked
               )
               SELECT tailnum, epoch_us(min(scheduled)), epoch_us(max(scheduled) + INTERVAL 4 HOUR), count(*),
                      sum(distance)::BIGINT, max(arr_delay)
               FROM numbered GROUP BY tailnum, session""",
            keys=2,
        )
        self.same(
            f"{run}: sliding day by hour and carrier",
            f"""SELECT epoch_us(window_start), carrier, epoch_us(window_end), flights, air_time, best
                FROM {self.lake(run, 'sliding')}""",
            f"""SELECT epoch_us(start), carrier, epoch_us(start + INTERVAL 1 DAY), count(*), avg(air_time), min(dep_delay)
                FROM ({SLIDING_DAYS.format(flights='flights')}) GROUP BY ALL""",
            keys=2,
        )
        self.same(
            f"{run}: cancelled flights, without a window",
            f"""SELECT epoch_us(scheduled), carrier, flight, origin, count(*)
                FROM {self.lake(run, 'cancelled')} GROUP BY ALL""",
            """SELECT epoch_us(scheduled), carrier, flight, origin, count(*)
               FROM flights WHERE dep_delay IS NULL GROUP BY ALL""",
            keys=4,
        )

    def flights_late(self, path: Path) -> None:
        """With two hours of patience. The watermark before a row is the greatest time of all rows before it, less 2 h;
        a row is late if that has reached the end of its last window."""
        pipelines = {
            "by_day": """
                SELECT window_start, origin, count(*) AS flights, sum(distance) AS miles, avg(dep_delay) AS delay
                FROM tumble(flights, INTERVAL '1 day') GROUP BY window_start, window_end, origin""",
            "sliding": """
                SELECT window_start, origin, count(*) AS flights, sum(distance) AS miles
                FROM hop(flights, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY window_start, window_end, origin""",
        }
        region = flights_source(path, "2h") + lakes(pipelines).replace(
            'sink = "by_day"', 'sink = "by_day"\nlate = "too_late"'
        )
        region += '[sinks.too_late]\nconnector = "parquet"\nurl = "too_late"\n'
        report = self.run("flights_late", region)
        if report is None:
            return
        self.duck.execute("""
            CREATE TABLE watched AS SELECT *, max(scheduled) OVER (
                ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) - INTERVAL 2 HOUR AS watermark
            FROM flights""")
        day_end = "date_trunc('day', scheduled::TIMESTAMP) + INTERVAL 1 DAY"
        late = f"coalesce({day_end} <= watermark, false)"
        self.counted(
            "late flights by day", report["pipelines"]["by_day"]["late"], f"SELECT count(*) FROM watched WHERE {late}"
        )
        self.same(
            "flights per day and origin without the late ones",
            f"""SELECT epoch_us(window_start), origin, flights, miles, delay
                FROM {self.lake('flights_late', 'by_day')}""",
            f"""SELECT epoch_us(date_trunc('day', scheduled::TIMESTAMP)), origin, count(*), sum(distance)::BIGINT,
                       avg(dep_delay)
                FROM watched WHERE NOT {late} GROUP BY ALL""",
            keys=2,
        )
        self.same(
            "the late flights themselves",
            f"""SELECT epoch_us(scheduled), carrier, flight, origin, tailnum, count(*)
                FROM {self.lake('flights_late', 'too_late')} GROUP BY ALL""",
            f"""SELECT epoch_us(scheduled), carrier, flight, origin, tailnum, count(*)
                FROM watched WHERE {late} GROUP BY ALL""",
            keys=5,
        )
        last_end = "date_trunc('hour', scheduled::TIMESTAMP) + INTERVAL 1 DAY"
        self.counted(
            "late flights by sliding day: the last window of each has closed",
            report["pipelines"]["sliding"]["late"],
            f"SELECT count(*) FROM watched WHERE coalesce({last_end} <= watermark, false)",
        )
        self.same(
            "sliding day by hour and origin: each flight in the windows still open when it came",
            f"SELECT epoch_us(window_start), origin, flights, miles FROM {self.lake('flights_late', 'sliding')}",
            f"""SELECT epoch_us(start), origin, count(*), sum(distance)::BIGINT
                FROM ({SLIDING_DAYS.format(flights='watched')})
                WHERE coalesce(start + INTERVAL 1 DAY > watermark, true) GROUP BY ALL""",
            keys=2,
        )

    # Series of sensors, taxis, tweets and CPUs as CSV; their times have no zone, which means UTC.

    def series(self) -> None:
        paths = sorted((self.data / "nab").glob("*.csv"))
        region = 'region = "lab"\n'
        pipelines = {}
        for path in paths:
            name = path.stem.lower()
            region += f"""
                [sources.{name}]
                connector = "file"
                path = "{path}"
                format = "csv"
                schema = {{ timestamp = {{ type = "timestamp", format = "%Y-%m-%d %H:%M:%S" }}, value = "double" }}
                event_time = "timestamp"
                max_delay = "48h"
                """
            pipelines[f"{name}_by_day"] = f"""
                SELECT window_start, count(*) AS readings, avg(value) AS average, min(value) AS lowest,
                       max(value) AS highest
                FROM tumble({name}, INTERVAL '1 day') GROUP BY window_start, window_end"""
        report = self.run("series", region + lakes(pipelines))
        if report is None:
            return
        for path in paths:
            raw = f"read_csv('{path}', columns = {{timestamp: 'TIMESTAMP', value: 'DOUBLE'}}, header = true)"
            name = f"{path.stem.lower()}_by_day"
            self.counted(f"{path.name}: records", report["pipelines"][name]["read"], f"SELECT count(*) FROM {raw}")
            self.same(
                f"{path.name} by day",
                f"""SELECT epoch_us(window_start), readings, average, lowest, highest
                    FROM {self.lake('series', name)}""",
                f"""SELECT epoch_us(date_trunc('day', timestamp)), count(*), avg(value), min(value), max(value)
                    FROM {raw} GROUP BY ALL""",
                keys=1,
            )

    # The status page of a web server, every few seconds: objects in objects, and times in milliseconds.

    def status(self) -> None:
        path = self.data / "web" / "nginx.ndjson"
        pipelines = {
            "by_minute": """
                SELECT window_start, count(*) AS pages, avg(connections['active']) AS active,
                       max(requests['total']) AS requests, sum(ssl['handshakes_failed']) AS failed
                FROM tumble(status, INTERVAL '1 minute') GROUP BY window_start, window_end""",
            "zones": """
                SELECT window_start, max(server_zones['trac.nginx.org']['requests']) AS trac,
                       max(server_zones['hg.nginx.org']['sent']) AS hg
                FROM tumble(status, INTERVAL '5 minutes') GROUP BY window_start, window_end""",
        }
        region = f"""
            region = "web"
            [sources.status]
            connector = "file"
            path = "{path}"
            event_time = "timestamp"
            max_delay = "1h"
            [sources.status.schema]
            timestamp = {{ type = "timestamp", format = "epoch_ms" }}
            address = "string"
            connections = "struct<accepted: bigint, dropped: bigint, active: bigint, idle: bigint>"
            requests = "struct<total: bigint, current: bigint>"
            ssl = "struct<handshakes: bigint, handshakes_failed: bigint, session_reuses: bigint>"
            server_zones = "map<string, struct<requests: bigint, sent: bigint, responses: struct<total: bigint>>>"
            """
        report = self.run("status", region + lakes(pipelines))
        if report is None:
            return
        raw = f"""read_json('{path}', format = 'newline_delimited', maximum_object_size = 67108864, columns = {{
            timestamp: 'BIGINT', connections: 'STRUCT(active BIGINT)', requests: 'STRUCT(total BIGINT)',
            ssl: 'STRUCT(handshakes_failed BIGINT)', server_zones: 'JSON'}})"""
        minute, five = 60_000_000, 300_000_000
        start = "timestamp * 1000 // {0} * {0}"
        self.counted("nginx: records", report["read"], f"SELECT count(*) FROM {raw}")
        self.same(
            "nginx status by minute",
            f"""SELECT epoch_us(window_start), pages, active, requests, failed
                FROM {self.lake('status', 'by_minute')}""",
            f"""SELECT {start.format(minute)}, count(*), avg(connections.active), max(requests.total),
                       sum(ssl.handshakes_failed)::BIGINT
                FROM {raw} GROUP BY ALL""",
            keys=1,
        )
        self.same(
            "nginx zones, values of a map, by five minutes",
            f"SELECT epoch_us(window_start), trac, hg FROM {self.lake('status', 'zones')}",
            f"""SELECT {start.format(five)}, max((server_zones->'trac.nginx.org'->>'requests')::BIGINT),
                       max((server_zones->'hg.nginx.org'->>'sent')::BIGINT)
                FROM {raw} GROUP BY ALL""",
            keys=1,
        )


SLIDING_DAYS = """
    SELECT *, date_trunc('hour', scheduled::TIMESTAMP) - to_hours(unnest(range(24))::INT) AS start FROM {flights}"""


def flights_source(path: Path, max_delay: str) -> str:
    return f"""
        region = "nyc"
        [sources.flights]
        connector = "file"
        path = "{path}"
        event_time = "scheduled"
        max_delay = "{max_delay}"
        [sources.flights.schema]
        scheduled = "timestamp"
        carrier = "string"
        flight = "bigint"
        tailnum = "string"
        origin = "string"
        dest = "string"
        dep_delay = "bigint"
        arr_delay = "bigint"
        air_time = "bigint"
        distance = "bigint"
        """


def lakes(pipelines: dict[str, str]) -> str:
    """A Parquet sink for each pipeline, in a folder of its name."""
    tables = (
        f'\n[sinks.{name}]\nconnector = "parquet"\nurl = "{name}"\npartition_by = ["date"]\n'
        f'[pipelines.{name}]\nsql = """{sql}"""\nsink = "{name}"\n'
        for name, sql in pipelines.items()
    )
    return "".join(tables)


def equal_rows(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))


def equal(a, b) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=0)
    return a == b


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares Watershed with DuckDB over real data.")
    parser.add_argument("--watershed", type=Path, help="the binary")
    parser.add_argument("--data", type=Path, help="the folder with flights.ndjson.gz, nab/ and web/")
    parser.add_argument("--install-only", action="store_true", help="install DuckDB and end")
    arguments = parser.parse_args()
    enter_environment()
    if arguments.install_only:
        return
    if arguments.data is None:
        print("acceptance: skipped, as there is no --data")
        return
    if arguments.watershed is None:
        parser.error("--watershed says which binary to check")
    with tempfile.TemporaryDirectory(prefix="watershed-acceptance-") as scratch:
        acceptance = Acceptance(arguments.watershed.resolve(), arguments.data.resolve(), Path(scratch))
        acceptance.flights()
        acceptance.series()
        acceptance.status()
        checks = acceptance.checks
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
