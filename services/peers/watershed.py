"""Watershed itself: the program under test."""

import subprocess
from pathlib import Path

from ..daemon import program
from .peer import Peer

REGION = """
region = "peers"
[checkpoint]
url = "{folder}/state"
interval = "1s"
[sources.orders]
connector = "file"
path = "{file}"
format = "json"
schema = {{ ts = "timestamp", region = "string", country = "string", type = "string", user_id = "bigint", amount = "double" }}
event_time = "ts"
max_delay = "2s"
dead_letters = "{folder}/dead"
[sinks.out]
connector = "parquet"
url = "{folder}/out"
partition_by = []
[pipelines.answer]
sink = "out"
sql = '''{sql}'''
"""

SQL = {
    "q1": """
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue, avg(amount) AS mean, max(amount) AS most
FROM tumble(orders, INTERVAL '10 seconds')
GROUP BY window_start, window_end, country, type""",
    "q2": """
SELECT window_start, user_id, count(*) AS events, sum(amount) AS revenue
FROM hop(orders, INTERVAL '10 seconds', INTERVAL '1 minute')
GROUP BY window_start, window_end, user_id""",
    "q3": """
SELECT window_start, region AS cloud_region, count(DISTINCT user_id) AS users,
       approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY amount) AS p99
FROM tumble(orders, INTERVAL '10 seconds')
GROUP BY window_start, window_end, region""",
}


class Watershed(Peer):
    name = "Watershed"
    settings = "a lane a core, a checkpoint every second, `max_delay` 2 s; all else by default"
    streams = True

    def version(self) -> str:
        said = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split()[-1]

    def command(self, question: str, file: Path, folder: Path, cores: int) -> list[str | Path]:
        region = folder / "region.toml"
        region.write_text(REGION.format(folder=folder, file=file, sql=SQL[question]))
        return [program(), "run", region, "--quiet", "--lanes", str(cores)]
