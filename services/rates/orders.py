"""What is streamed: the generator's orders, and the region that counts them."""

import subprocess
import tempfile
from pathlib import Path

from ..daemon import program

GENERATOR = """
region = "orders"
[sources.orders]
connector = "generator"
profile = "orders"
events = {events}
start = "2026-03-01T00:00:00Z"
[sinks.out]
connector = "stdout"
[pipelines.all]
sink = "out"
sql = "SELECT * FROM orders"
"""

REGION = """
region = "bench"
[checkpoint]
interval = "1s"
[http]
listen = "127.0.0.1:{port}"
[sources.orders]
{source}
schema = {{ ts = "timestamp", country = "string", type = "string", amount = "double" }}
event_time = "ts"
max_delay = "{max_delay}"
[sinks.lake]
connector = "parquet"
url = "lake"
[pipelines.by_country]
sink = "lake"
sql = '''
SELECT window_start, country, type, count(*) AS events, sum(amount) AS revenue, max(amount) AS most
FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, country, type'''
"""


def orders(events: int) -> list[bytes]:
    """The generator's records as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "region.toml").write_text(GENERATOR.format(events=events))
        made = subprocess.run([program(), "run", "region.toml", "--quiet"], cwd=folder, capture_output=True, check=True)
    return made.stdout.splitlines()


def region(source: str, port: int, max_delay: str) -> str:
    return REGION.format(source=source.strip(), port=port, max_delay=max_delay)
