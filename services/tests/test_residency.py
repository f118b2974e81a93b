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


SIMPLE = """
region = "trial"
[residency]
allow = ["trial", {allow}]
[sources.orders]
connector = "generator"
profile = "orders"
events = 100
[sinks.lake]
connector = "parquet"
{lake}
[pipelines.all]
sink = "lake"
sql = "SELECT ts, country FROM orders"
"""

COMMANDS = (["run", "--quiet"], ["check", "--connect"])


def simple(keys: str, *allow: str) -> str:
    return SIMPLE.format(lake=keys, allow=", ".join(json.dumps(region) for region in allow))


def test_azure_does_not_tell(serve, tmp_path: Path):
    """Neither the name of a container nor the container says where it lies: without `location` nothing is written."""
    service = serve("azurite")
    lake = lake_of("azurite", service.address, tmp_path)
    toml = simple(lake.keys(service.address), "westeurope")
    for command in (["check"], *COMMANDS):
        said = outcome(tmp_path, toml, *command)
        assert said.returncode == 2, said
        assert "nothing says in which region this place lies, and there is [residency]" in said.stderr, said.stderr
    said = outcome(tmp_path, simple(lake.keys(service.address, location="eastus"), "westeurope"), "run", "--quiet")
    assert said.returncode == 2 and "`eastus`, where this place lies, is outside [residency]" in said.stderr, said
    assert not lake.listed()
    toml = simple(lake.keys(service.address, location="westeurope"), "westeurope")
    said = outcome(tmp_path, toml, "check", "--connect")
    assert said.returncode == 0 and "lies in westeurope, as the file says" in said.stdout, said
    said = outcome(tmp_path, toml, "run", "--quiet")
    assert said.returncode == 0 and lake.visible(), said.stderr


def test_google_tells(serve, tmp_path: Path):
    """The bucket has the last word. One that may not be asked is taken at the file's, and refused where there is none."""
    service = serve("gcs")
    lake = lake_of("gcs", service.address, tmp_path)
    inside = lake.keys(service.address)
    wrong = [
        (simple(inside, "us-*"), "lies in `europe-west3`, which is outside [residency]"),
        (
            simple(lake.keys(service.address, location="us-central1"), "us-*"),
            "lies in `europe-west3`, which is outside [residency]",
        ),
        (
            simple(lake.keys(service.address, location="europe-west1"), "europe-*"),
            "lies in `europe-west3`, and not in `europe-west1`, as `location` says",
        ),
    ]
    for toml, told in wrong:
        for command in COMMANDS:
            said = outcome(tmp_path, toml, *command)
            assert said.returncode == 2 and told in said.stderr, said
    said = outcome(tmp_path, simple(inside, "europe-*"), "check", "--connect")
    assert said.returncode == 0 and "lies in europe-west3" in said.stdout, said
    lake.deny("location")
    try:
        for command in COMMANDS:
            said = outcome(tmp_path, simple(inside, "europe-*"), *command)
            assert said.returncode == 2, said
            assert "permission denied (AccessDenied); allow storage.buckets.get" in said.stderr, said.stderr
            assert "or say where it lies, as in location =" in said.stderr, said.stderr
        # The probe of the check that was all right is gone.
        assert not lake.listed()
        toml = simple(lake.keys(service.address, location="europe-west3"), "europe-*")
        said = outcome(tmp_path, toml, "check", "--connect")
        assert said.returncode == 0, said.stderr
        assert "lies in europe-west3, as the file says: cannot ask" in said.stdout, said.stdout
        said = outcome(tmp_path, toml, "run")
        assert said.returncode == 0 and "taken to lie where the file says" in said.stderr, said.stderr
    finally:
        lake.deny()
    assert lake.visible()


class Redirecting(Double):
    """A bucket elsewhere, as S3 answers for it to whoever asks in the wrong region or may not ask."""

    def __init__(self, status: int):
        super().__init__()
        self.status = status

    def answer(self, asked: Asked) -> Answer:
        return Answer(self.status, b"", {"x-amz-bucket-region": "us-east-1"})


@pytest.mark.parametrize("status", [301, 400, 403])
def test_a_bucket_tells_where_it_lies_while_it_refuses(status, tmp_path: Path):
    with Redirecting(status) as elsewhere:
        keys = f'url = "s3://acme/lake"\naws_region = "eu-west-1"\nendpoint = "{elsewhere.url}"\n'
        toml = simple(f'{keys}access_key_id = "trial"\nsecret_access_key = "trial0trial"', "eu-*")
        for command in COMMANDS:
            said = outcome(tmp_path, toml, *command)
            assert said.returncode == 2, said
            assert "lies in `us-east-1`, which is outside [residency]" in said.stderr, said.stderr
        assert {asked.method for asked in elsewhere.asked} == {"HEAD"}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_the_environment_does_not_lead_a_lake_elsewhere(name, serve, tmp_path: Path, monkeypatch):
    """What it names is looked at as what the file says, and goes behind that."""
    service = serve("s3")
    lake = lake_of("s3", service.address, tmp_path)
    monkeypatch.setenv(name, "https://s3.us-east-1.amazonaws.com")
    keys = lake.keys(service.address)
    led = "\n".join(line for line in keys.splitlines() if not line.startswith("endpoint"))
    said = outcome(tmp_path, simple(led, s3.REGION), "run", "--quiet")
    assert said.returncode == 2, said
    assert f"`us-east-1`, where this place lies by {name}, is outside [residency]" in said.stderr, said.stderr
    with Elsewhere() as elsewhere:
        monkeypatch.setenv(name, elsewhere.url)
        said = outcome(tmp_path, simple(keys, s3.REGION), "run", "--quiet")
        assert said.returncode == 0, said.stderr
        assert not elsewhere.asked and lake.visible()


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
