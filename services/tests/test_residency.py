"""Data stays in its region: the places themselves are asked, whatever the region file says of them."""

import json
import subprocess
from pathlib import Path

import pytest

from .. import s3
from ..daemon import program
from ..double import Answer, Asked, Double
from ..front import error
from .hub import SECRETS
from .test_lake import lake_of

PLACES = ["lake", "late", "state", "letters", "table"]


def region(places: dict[str, str], allow: str) -> str:
    inline = ", ".join(places["letters"].splitlines())
    return f"""
region = "trial"
[residency]
allow = ["trial", "{allow}"]
[checkpoint]
{places["state"]}
[sources.orders]
connector = "generator"
profile = "orders"
events = 100
dead_letters = {inline if "=" not in inline else "{ " + inline + " }"}
[tables.countries]
format = "json"
{places["table"]}
[sinks.lake]
connector = "parquet"
{places["lake"]}
[sinks.late]
connector = "parquet"
partition_by = ["date"]
{places["late"]}
[pipelines.counts]
sink = "lake"
late = "late"
sql = '''
    SELECT window_start, o.country, count(*) AS events
    FROM tumble(orders, INTERVAL '1 second') o JOIN countries c ON o.country = c.country
    GROUP BY window_start, o.country'''
"""


def outcome(folder: Path, toml: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "region.toml").write_text(toml)
    asked = [program(), command[0], "region.toml", *command[1:]]
    return subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("place", PLACES)
def test_a_bucket_elsewhere_is_refused(place, serve, tmp_path: Path):
    """The file names a region that is allowed, and the bucket lies in another: a run ends before it writes anything."""
    service = serve("s3")
    lake = lake_of("s3", service.address, tmp_path)
    lake.write(f"{lake.name}/table.json", json.dumps({"country": "DE"}).encode())
    before = lake.listed()
    places = {name: f'url = "{tmp_path}/{name}"' for name in PLACES}
    (tmp_path / "table.json").write_text(json.dumps({"country": "DE"}))
    places["table"] = f'url = "{tmp_path}/table.json"'
    suffix = ".json" if place == "table" else ""
    places[place] = lake.keys(service.address, f"/{place}{suffix}", aws_region="mars-north-1")
    for command in (["run", "--quiet"], ["check", "--connect"]):
        said = outcome(tmp_path, region(places, "mars-*"), *command)
        assert said.returncode != 0, said.stdout
        assert f"lies in `{s3.REGION}`, which is outside [residency]" in said.stderr, said.stderr
    assert lake.listed() == before
    # The same, where that is allowed.
    places[place] = lake.keys(service.address, f"/{place}{suffix}")
    said = outcome(tmp_path, region(places, s3.REGION), "run", "--quiet")
    assert said.returncode == 0, said.stderr


HUB = """
region = "trial"
[residency]
allow = ["trial", "westeurope"]
[sources.orders]
connector = "generator"
profile = "orders"
events = 100
{sink}
[pipelines.all]
sink = "out"
sql = "SELECT * FROM orders"
"""


def test_an_event_hub_says_where_it_lies(hub, tmp_path: Path):
    """No name of a namespace tells a region: without `location` nothing is sent, however near the address is that is
    connected to."""
    near = hub.sink().replace("sb://localhost/", "sb://acme.servicebus.windows.net/")
    for location, told in [
        ("", "nothing says in which region this place lies"),
        ('location = "eastus"', "`eastus`, where this place lies, is outside [residency]"),
    ]:
        toml = HUB.format(sink=f"[sinks.out]\n{near}\n{location}").replace("${KEY}", SECRETS["KEY"])
        for command in (["run", "--quiet"], ["check", "--connect"]):
            said = outcome(tmp_path, toml, *command)
            assert said.returncode != 0 and told in said.stderr, said
            assert SECRETS["KEY"] not in said.stderr + said.stdout
    assert set(hub.newest().values()) == {-1}
    toml = HUB.format(sink=f'[sinks.out]\n{near}\nlocation = "westeurope"').replace("${KEY}", SECRETS["KEY"])
    said = outcome(tmp_path, toml, "run", "--quiet")
    assert said.returncode == 0, said.stderr
    assert sum(number + 1 for number in hub.newest().values()) == 100


class Elsewhere(Double):
    """Takes nothing, and remembers who asked."""

    def answer(self, asked: Asked) -> Answer:
        return error("AccessDeniedException", "not here")


STREAM = """
region = "trial"
[residency]
allow = ["trial", "eu-*"]
[sources.orders]
connector = "generator"
profile = "orders"
events = 100
[sinks.out]
connector = "kinesis"
stream = "alerts"
location = "eu-west-1"
access_key_id = "trial"
secret_access_key = "trial"
{more}
[pipelines.orders]
sink = "out"
sql = "SELECT * FROM orders"
"""


def test_the_environment_does_not_lead_a_stream_elsewhere(tmp_path: Path, monkeypatch):
    """Rows go where the region file says, though AWS's own programs would heed the environment."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with Elsewhere() as elsewhere:
        monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", elsewhere.url)
        said = outcome(tmp_path, STREAM.format(more=""), "check", "--connect")
        assert said.returncode != 0 and "arn:aws:kinesis:eu-west-1:" in said.stderr, said.stderr
        assert not elsewhere.asked
        # The same, where the file names the place: so the first would have been seen.
        said = outcome(tmp_path, STREAM.format(more=f'endpoint = "{elsewhere.url}"'), "check", "--connect")
        assert said.returncode != 0 and "kinesis:DescribeStreamSummary" in said.stderr, said.stderr
        (authorization,) = {asked.headers["authorization"].split("/")[2] for asked in elsewhere.asked}
        assert authorization == "eu-west-1"
