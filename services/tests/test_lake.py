"""Lakes on S3, Azure and Google: each row once, whatever comes upon the daemon, the network or the store."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path

import pytest

from .. import s3
from ..azurite import Azurite
from ..daemon import Daemon, program
from ..gcs import Gcs
from ..lakes import KINDS, Bucket, GoogleLake, S3Lake
from ..proxy import Proxy
from ..s3 import S3
from ..trial import Growing
from . import journeys

LISTED = ("s3", "gcs")
"""Stores that keep a list of unfinished uploads, which the daemon sweeps; Azure's vanish after a week."""

GENERATOR = 'connector = "generator"\nprofile = "orders"\nevents = 20_000\nrate = "20000/s"\nsplits = 2'


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def service(kind, serve):
    return serve(kind)


def name_of(tmp_path: Path) -> str:
    """A name that no other test has at a store: that of the folder comes again where another file has a test of the same name."""
    name = tmp_path / "lake-name"
    if not name.exists():
        name.write_text(f"{re.sub(r'[^a-z0-9-]+', '-', tmp_path.name)}-{uuid.uuid4().hex[:8]}")
    return name.read_text()


def lake_of(kind: str, address: str, tmp_path: Path) -> Bucket:
    return KINDS[kind](address, name_of(tmp_path), tmp_path / "fetched")


@pytest.fixture
def lake(kind, service, tmp_path: Path) -> Bucket:
    return lake_of(kind, service.address, tmp_path)


@pytest.fixture
def growing(trial, lake, service, tmp_path: Path):
    """A trial that reads a file, and whose lake is at a store that it asks at an address."""
    events = Growing(tmp_path)

    def make(address: str = service.address, **changed: str):
        return trial(events.source, events.send, store=lake, lake=lake.keys(address, **changed))

    return make


def test_plain(growing, lake):
    journeys.plain(growing())
    assert not lake.unfinished()


def test_killed(growing, lake, kind):
    journeys.killed(growing())
    assert kind not in LISTED or not lake.unfinished()


def test_network(growing, lake, service, kind):
    with Proxy(service.port) as proxy:
        journeys.unconnected(growing(proxy.address, timeout="5s"), proxy)
    assert kind not in LISTED or not lake.unfinished()


@pytest.mark.parametrize("lasting", [Azurite, Gcs])
def test_store_restarts(trial, tmp_path: Path, lasting):
    """The store ends and comes back; one that forgets nothing is killed, too. Azurite forgets what it has acknowledged when
    it is killed, and moto whenever it ends."""
    events = Growing(tmp_path)

    with lasting() as store:
        lake = lake_of(store.name, store.address, tmp_path)

        def killed():
            store.kill()
            store.start()

        suffering = trial(events.source, events.send, store=lake, lake=lake.keys(store.address))
        ends = [killed, killed] if lasting is Gcs else [store.restart]
        journeys.disturbed(suffering, store.restart, *ends)


def test_zombie(growing):
    """A daemon is stopped in the middle, another takes over, and the first wakes up: it changes nothing, and ends."""
    disputed = growing()
    with disputed.load():
        disputed.daemon.start()
        disputed.until_more()
        zombie = disputed.daemon._process
        for _ in range(3):
            os.kill(zombie.pid, signal.SIGSTOP)
            disputed.daemon.start()
            disputed.until_more()
            os.kill(zombie.pid, signal.SIGCONT)
            assert zombie.wait(60) == 1
            zombie = disputed.daemon._process
        assert "another watershed owns this pipeline" in disputed.daemon.log.read_text()
        disputed.until_more()
    disputed.settle()


def test_every_place(lake, service, tmp_path: Path):
    """State, lake, late rows, dead letters and a reference table lie at the store; a query reads from there."""
    names = "\n".join(json.dumps({"country": code, "name": f"country {code}"}) for code in ("DE", "FR", "GB", "US"))
    lake.write(f"{lake.name}/countries/all.json", names.encode())

    def at(folder: str) -> str:
        return lake.keys(service.address, folder)

    inline = ", ".join(at("/letters").splitlines())
    toml = f"""
region = "trial"
[checkpoint]
interval = "200ms"
{at("/state")}
[sources.orders]
{GENERATOR}
seed = 1
start = "2026-03-01T00:00:00Z"
disorder = "5s"
max_delay = "100ms"
bad = 0.01
dead_letters = {{ {inline} }}
[tables.countries]
format = "json"
{at("/countries/all.json")}
[sinks.lake]
connector = "parquet"
{at("")}
[sinks.late]
connector = "parquet"
partition_by = ["date"]
{at("/late")}
[pipelines.events]
sink = "lake"
sql = "SELECT o.ts, o.country, c.name FROM orders o LEFT JOIN countries c ON o.country = c.country"
[pipelines.counts]
sink = "lake"
late = "late"
sql = '''
    SELECT window_start, country, count(*) AS events FROM tumble(orders, INTERVAL '1 second')
    GROUP BY window_start, country'''
"""
    folder = tmp_path / "trial"
    folder.mkdir()
    with Daemon(folder, toml, None, lake) as daemon:
        checked = daemon.check("--connect")
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.count("began and aborted an upload") == 4, checked.stdout
        assert "state: wrote, read, listed and removed a probe" in checked.stdout
        assert not (folder / "var" / "trial" / "state").exists()
        daemon.start()
        report = daemon.report()
        assert (folder / "var").exists() is False or not list((folder / "var").rglob("*.parquet"))
        good = report["read"] - report["bad"]
        assert report["bad"] > 0 and daemon.rows("events", "SELECT count(*) FROM lake") == [(good,)]
        late = report["pipelines"]["counts"]["late"]
        counted = daemon.rows("counts", "SELECT sum(events)::BIGINT FROM lake")
        assert late > 0 and counted == [(good - late,)]
        keys = lake.listed()
        letters = [key for key in keys if f"{lake.name}/letters/date=" in key]
        assert letters and [key for key in keys if f"{lake.name}/state/checkpoints/" in key]
        assert [key for key in keys if f"{lake.name}/late/date=" in key]
        query = "SELECT count(*) AS n, count(name) AS named FROM events"
        asked = subprocess.run(
            [program(), "query", "region.toml", query, "--format", "ndjson"], cwd=folder, capture_output=True, text=True
        )
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout.splitlines()[0])["n"] == good, asked.stdout
        assert 0 < json.loads(asked.stdout.splitlines()[0])["named"] <= good


SIMPLE = """
region = "trial"
[sources.orders]
{generator}
[sinks.lake]
connector = "parquet"
{lake}
[pipelines.events]
sink = "lake"
sql = "SELECT ts, country FROM orders"
"""


def refused(folder: Path, keys: str) -> str:
    """Why a check that connects, and a run, refuse a lake: with the same words."""
    folder.mkdir()
    with Daemon(folder, SIMPLE.format(generator=GENERATOR, lake=keys)) as daemon:
        check = daemon.check("--connect")
        assert check.returncode != 0, check.stdout
        return check.stderr


def test_missing_bucket(lake, service, tmp_path: Path):
    url = f"{lake.scheme}://absent/{lake.name}"
    said = refused(tmp_path / "absent", lake.keys(service.address, url=url))
    assert f"cannot write to {url}: there is no such" in said, said


def test_wrong_key(serve, tmp_path: Path):
    azurite = serve("azurite")
    lake = lake_of("azurite", azurite.address, tmp_path)
    wrong = "MarkedKeyMarkedKeyMarkedKeyMarkedKey"
    said = refused(tmp_path / "wrong", lake.keys(azurite.address, account_key=wrong))
    assert "permission denied (AuthorizationFailure); allow Microsoft.Storage" in said, said
    assert wrong not in said


@pytest.mark.parametrize(
    ("denied", "permission"),
    [
        ("PUT", "storage.objects.create"),
        ("list", "storage.objects.list"),
        ("DELETE", "storage.objects.delete"),
        ("abort", "storage.multipartUploads.abort"),
    ],
)
def test_permissions_of_google(serve, tmp_path: Path, denied, permission):
    gcs = serve("gcs")
    lake = GoogleLake(gcs.address, tmp_path.name, tmp_path / "fetched")
    lake.deny(denied)
    try:
        said = refused(tmp_path / "denied", lake.keys(gcs.address))
    finally:
        lake.deny()
    assert f"permission denied (AccessDenied); allow {permission}" in said, said


def test_permissions_of_s3(tmp_path: Path):
    """moto holds a user to a policy, one permission short each time."""
    import boto3

    needed = ["s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject"]
    with S3() as server:
        where = {"endpoint_url": f"http://{server.address}", "region_name": s3.REGION}
        iam = boto3.client("iam", **where, aws_access_key_id="test", aws_secret_access_key="test")
        users = {}
        for missing in [None, *needed]:
            name = (missing or "none").replace(":", "-")
            iam.create_user(UserName=name)
            allowed = [action for action in needed if action != missing]
            statement = {"Effect": "Allow", "Action": [*allowed, "s3:AbortMultipartUpload"], "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="lake", PolicyDocument=policy)
            users[missing] = iam.create_access_key(UserName=name)["AccessKey"]
        # From here on nobody is let in unasked.
        where = f"http://{server.address}/moto-api/reset-auth"
        reset = urllib.request.Request(where, b"0", {"content-type": "text/plain"}, method="POST")
        urllib.request.urlopen(reset, timeout=30).close()
        lake = S3Lake(server.address, "permissions", tmp_path / "fetched")
        for missing, key in users.items():
            keys = lake.keys(
                server.address, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"]
            )
            if missing in ("s3:PutObject", "s3:ListBucket", "s3:DeleteObject"):
                said = refused(tmp_path / missing.replace(":", "-"), keys)
                assert f"allow {missing}" in said, said
                assert key["SecretAccessKey"] not in said


def test_a_store_that_is_away_for_a_while_is_waited_for(growing, service, kind):
    """Longer than any one request is patient: parts and completions are asked again until the store is back."""
    with Proxy(service.port) as proxy:
        waiting = growing(proxy.address, timeout="1s", retries=0)
        waiting.daemon.start()
        with waiting.load():
            waiting.until_more()
            proxy.refuse()
            time.sleep(4 * journeys.FAULT_LASTS)
            waiting.daemon.check_alive()
            proxy.heal()
            waiting.until_more()
        waiting.settle()


def test_no_secret_is_told(lake, service, tmp_path: Path):
    """Not by a run that logs all it can against a store that refuses it."""
    mark = "Marked0Secret1That2Nobody3MaySee"
    secrets = {"s3": "secret_access_key", "az": "account_key", "gs": None}[lake.scheme]
    if secrets is None:
        pytest.skip("Google's key is a file")
    folder = tmp_path / "secrets"
    folder.mkdir()
    toml = SIMPLE.format(generator=GENERATOR, lake=lake.keys(service.address, **{secrets: "${MARK}"}))
    with Daemon(folder, toml, {"MARK": mark, "RUST_LOG": "trace"}) as daemon:
        daemon.start()
        daemon.wait()
        said = daemon.log.read_text() + daemon.check("--connect").stdout
    told = [path for path in folder.rglob("*") if path.is_file() and mark.encode() in path.read_bytes()]
    assert mark not in said and not told
