"""Lakes on S3, Azure and Google: each row once, whatever comes upon the daemon, the network or the store."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .. import azurite, s3
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


def test_a_table_that_is_not_there(lake, service, tmp_path: Path):
    """A url that names nothing would be a table without rows: refused before anything is read, and as it is read again."""
    folder = tmp_path / "tables"
    folder.mkdir()
    toml = """
region = "trial"
[checkpoint]
interval = "200ms"
[sources.orders]
connector = "generator"
profile = "orders"
rate = "1000/s"
[tables.countries]
format = "json"
schema = {{ country = "string" }}
refresh = "200ms"
{table}
[sinks.lake]
connector = "parquet"
url = "var/lake"
partition_by = ["region"]
roll = {{ every = "200ms", idle = "200ms" }}
[pipelines.events]
sink = "lake"
sql = "SELECT o.ts, o.country FROM orders o JOIN countries c ON o.country = c.country"
"""
    key = f"{lake.name}/countries/all.json"
    for wrong in ("/countries/all.json", "/countries", "/countries/"):
        with Daemon(folder, toml.format(table=lake.keys(service.address, wrong))) as daemon:
            assert daemon.check().returncode == 0
            checked = daemon.check("--connect")
            assert checked.returncode == 2 and "there is nothing at" in checked.stderr, checked.stderr
            assert "region.toml" in checked.stderr and f"{lake.name}{wrong}" in checked.stderr, checked.stderr
            daemon.start()
            assert daemon.wait() == 2
            assert "table `countries`: there is nothing at" in daemon.log.read_text()
            assert not list((folder / "var").rglob("*.parquet"))
    countries = ("DE", "FR", "GB", "US", "NL", "IT", "ES", "PL", "SE", "JP")
    lake.write(key, "\n".join(json.dumps({"country": code}) for code in countries).encode())
    with Daemon(folder, toml.format(table=lake.keys(service.address, "/countries/all.json"))) as daemon:
        daemon.start()

        def rows() -> int:
            return sum(path.stat().st_size for path in (folder / "var" / "lake").rglob("events-*.parquet"))

        daemon.until(lambda: rows() > 0, "rows that are joined")
        lake.remove(key)
        daemon.until(lambda: "the last rows stay in use" in daemon.log.read_text(), "a table that is gone")
        before = rows()
        daemon.until(lambda: rows() > before, "rows that are joined with what was there")
        daemon.stop()


def test_missing_bucket(lake, service, tmp_path: Path):
    url = f"{lake.scheme}://absent/{lake.name}"
    said = refused(tmp_path / "absent", lake.keys(service.address, url=url))
    assert f"cannot write to {url}: there is no such" in said, said


def test_a_column_keeps_its_type(lake, service, tmp_path: Path):
    """A lake has one type for a column: another is refused before anything is written, and so the lake stays readable."""
    folder = tmp_path / "types"
    folder.mkdir()
    generator = GENERATOR + '\nseed = 1\nstart = "2026-03-01T00:00:00Z"'
    toml = SIMPLE.format(generator=generator, lake=lake.keys(service.address))
    windowed = "SELECT window_start, {} AS n FROM tumble(orders, INTERVAL '1 second') GROUP BY window_start"
    toml = toml.replace("SELECT ts, country FROM orders", windowed.format("count(*)"))
    ask = [program(), "query", "region.toml", "SELECT sum(n) AS n FROM events", "--format", "ndjson"]
    with Daemon(folder, toml, None, lake) as daemon:
        daemon.start()
        daemon.report()
        before = lake.listed()
        daemon.rewrite("count(*)", "CAST(count(*) AS double)")
        checked = daemon.check("--connect")
        daemon.start()
        assert daemon.wait() == 2
        for said in (checked.stderr, daemon.log.read_text()):
            assert 'column "n" is bigint in ' in said and 'and double in pipeline "events"' in said, said
        assert [key for key in lake.listed() if key.endswith(".parquet")] == [
            key for key in before if key.endswith(".parquet")
        ]
        asked = subprocess.run(ask, cwd=folder, capture_output=True, text=True)
        assert json.loads(asked.stdout)["n"] == 20_000, asked.stderr


def test_wrong_key(serve, tmp_path: Path):
    service = serve("azurite")
    lake = lake_of("azurite", service.address, tmp_path)
    wrong = "MarkedKeyMarkedKeyMarkedKeyMarkedKey"
    said = refused(tmp_path / "wrong", lake.keys(service.address, account_key=wrong))
    assert "permission denied (AuthorizationFailure); allow Microsoft.Storage" in said, said
    assert wrong not in said


@pytest.mark.parametrize(
    ("denied", "permission"),
    [
        ("PUT", "storage.objects.create"),
        ("GET", "storage.objects.get"),
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


def lets_nobody_in(server: S3) -> None:
    """From here on moto holds whoever asks to a policy."""
    where = f"http://{server.address}/moto-api/reset-auth"
    reset = urllib.request.Request(where, b"0", {"content-type": "text/plain"}, method="POST")
    urllib.request.urlopen(reset, timeout=30).close()


def policy(*actions: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})


def test_profiles_and_roles_of_s3(tmp_path: Path):
    """Who writes is named by a profile, and may only then; or is one who may assume a role that may."""
    import boto3

    with S3() as server:
        where = {"endpoint_url": f"http://{server.address}", "region_name": s3.REGION}
        iam = boto3.client("iam", **where, aws_access_key_id="test", aws_secret_access_key="test")
        profiles, secrets = "", []
        for name, action in [("writer", "s3:*"), ("asker", "sts:AssumeRole")]:
            iam.create_user(UserName=name)
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=policy(action))
            key = iam.create_access_key(UserName=name)["AccessKey"]
            secrets.append(key["SecretAccessKey"])
            profiles += f"[{name}]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {secrets[-1]}\n"
        role = iam.create_role(RoleName="lake", AssumeRolePolicyDocument=policy("sts:AssumeRole"))["Role"]["Arn"]
        iam.put_role_policy(RoleName="lake", PolicyName="may", PolicyDocument=policy("s3:*"))
        lets_nobody_in(server)
        (tmp_path / "profiles").write_text(profiles)
        environment = {
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "profiles"),
            "AWS_ENDPOINT_URL_STS": f"http://{server.address}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        lake = S3Lake(server.address, "profiles", tmp_path / "fetched")
        keys = "\n".join(line for line in lake.keys(server.address).splitlines() if "access_key" not in line)
        for number, (who, told) in enumerate([
            ('profile = "writer"', None),
            ('profile = "asker"', "permission denied (AccessDenied); allow s3:"),
            (f'profile = "asker"\nrole_arn = "{role}"', None),
            (f'profile = "writer"\nrole_arn = "{role}"', "AWS credentials: "),
            ('profile = "nobody"', "nobody"),
        ]):
            folder = tmp_path / f"as-{number}"
            folder.mkdir()
            toml = SIMPLE.format(generator=GENERATOR, lake=f"{keys}\n{who}")
            with Daemon(folder, toml, environment) as daemon:
                check = daemon.check("--connect")
            said = check.stdout + check.stderr
            assert not any(secret in said for secret in secrets)
            assert (check.returncode == 0) == (told is None), f"{who}: {said}"
            assert told is None or told in check.stderr, f"{who}: {said}"


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
            document = policy(*allowed, "s3:AbortMultipartUpload")
            iam.put_user_policy(UserName=name, PolicyName="lake", PolicyDocument=document)
            users[missing] = iam.create_access_key(UserName=name)["AccessKey"]
        lets_nobody_in(server)
        lake = S3Lake(server.address, "permissions", tmp_path / "fetched")
        for missing, key in users.items():
            keys = lake.keys(
                server.address, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"]
            )
            if missing:
                said = refused(tmp_path / missing.replace(":", "-"), keys)
                assert f"allow {missing}" in said, said
                assert key["SecretAccessKey"] not in said


@pytest.mark.parametrize("place", ["lake", "state"])
@pytest.mark.parametrize(
    ("rights", "missing"), [("wdlc", "read"), ("rwlc", "delete"), ("rdl", "write"), ("rwdlc", None)]
)
def test_permissions_of_azure(serve, tmp_path: Path, place, rights, missing):
    """A shared access signature without one right: what is missing is named."""
    from azure.storage.blob import generate_container_sas

    service = serve("azurite")
    lake = lake_of("azurite", service.address, tmp_path)
    until = datetime.now(UTC) + timedelta(hours=1)
    token = generate_container_sas(
        azurite.ACCOUNT, s3.BUCKET, account_key=azurite.KEY, permission=rights, expiry=until, version="2021-12-02"
    )
    keys = lake.keys(service.address, sas_token=token, account_key="")
    keys = "\n".join(line for line in keys.splitlines() if not line.startswith("account_key"))
    toml = SIMPLE.format(generator=GENERATOR, lake=keys if place == "lake" else 'url = "lake"')
    if place == "state":
        toml += f"[checkpoint]\n{keys}\n"
    folder = tmp_path / "signed"
    folder.mkdir()
    with Daemon(folder, toml) as daemon:
        check = daemon.check("--connect")
        if missing is None:
            assert check.returncode == 0, check.stderr
        else:
            assert check.returncode == 2, check.stderr
            assert f"allow Microsoft.Storage/…/blobs/{missing}" in check.stderr, check.stderr
        assert token[-20:] not in check.stderr + check.stdout


def test_connection_string_of_azure(serve, tmp_path: Path):
    """One value has account, key and server; whatever is wrong with it, nothing of it is told."""
    service = serve("azurite")
    lake = lake_of("azurite", service.address, tmp_path)
    whole = f"AccountName={azurite.ACCOUNT};AccountKey={azurite.KEY};BlobEndpoint=http://{service.address}/{azurite.ACCOUNT};"
    for number, (text, told) in enumerate([(whole, None), (whole.replace("==;", "=;"), "a broken `account_key`")]):
        keys = f'url = "az://{s3.BUCKET}/{lake.name}"\nconnection_string = "{text}"'
        folder = tmp_path / f"connected-{number}"
        folder.mkdir()
        with Daemon(folder, SIMPLE.format(generator=GENERATOR, lake=keys)) as daemon:
            check = daemon.check("--connect")
            assert azurite.KEY[:-2] not in check.stdout + check.stderr
            assert (check.returncode == 0) == (told is None), check.stderr
            assert told is None or told in check.stderr, check.stderr
            if told is None:
                daemon.start()
                daemon.report()
    assert lake.visible()


def test_where_a_bucket_lies_is_asked_for_residency_only(serve, tmp_path: Path):
    """Who may do all that a run does, and may not ask where the bucket lies, is told that all is right."""
    gcs = serve("gcs")
    lake = lake_of("gcs", gcs.address, tmp_path)
    toml = SIMPLE.format(generator=GENERATOR, lake=lake.keys(gcs.address))
    folder = tmp_path / "unasked"
    folder.mkdir()
    lake.deny("location")
    try:
        with Daemon(folder, toml) as daemon:
            check = daemon.check("--connect")
            assert check.returncode == 0, check.stderr
            daemon.start()
            daemon.report()
    finally:
        lake.deny()


def test_every_place_that_fails_is_told(serve, tmp_path: Path):
    """The first one does not hide the others, and what can be opened is told, too."""
    service = serve("s3")
    lake = lake_of("s3", service.address, tmp_path)

    def absent(name: str) -> str:
        return lake.keys(service.address, url=f"s3://absent-{name}/x")

    letters = ", ".join(absent("letters").splitlines())
    toml = SIMPLE.format(generator=f"{GENERATOR}\ndead_letters = {{ {letters} }}", lake=absent("lake"))
    toml += f"[checkpoint]\n{absent('state')}\n"
    folder = tmp_path / "absent"
    folder.mkdir()
    with Daemon(folder, toml) as daemon:
        check = daemon.check("--connect")
    assert check.returncode == 2, check.stderr
    for place, name in [("dead letters of `orders`", "letters"), ("state", "state"), ("sink `lake`", "lake")]:
        told = [line for line in check.stderr.splitlines() if place in line and f"s3://absent-{name}/x" in line]
        assert told and "there is no such bucket" in told[0], check.stderr
    assert "3 errors" in check.stderr and "source orders: " in check.stdout


@pytest.mark.parametrize("connector", ["parquet", "delta"])
def test_key_of_google(serve, tmp_path: Path, connector):
    """Whatever a run writes is encrypted with the key that the file names: files, log, state and markers. Only files of the
    lake have its class."""
    gcs = serve("gcs")
    lake = lake_of("gcs", gcs.address, tmp_path)
    key = "projects/acme/locations/europe-west3/keyRings/lake/cryptoKeys/rows"
    toml = SIMPLE.format(generator=GENERATOR, lake=lake.keys(gcs.address, kms_key=key, storage_class="NEARLINE"))
    toml = toml.replace('"parquet"', json.dumps(connector))
    toml += f"[checkpoint]\ninterval = \"200ms\"\n{lake.keys(gcs.address, '/state', kms_key=key)}\n"
    folder = tmp_path / "key"
    folder.mkdir()
    with Daemon(folder, toml) as daemon:
        daemon.start()
        daemon.report()
    kinds = {name: lake.kind(name) for name in lake.listed()}
    files = {name for name in kinds if name.endswith(".parquet") and "/region=" in name}
    assert files and any("/state/checkpoints/" in name for name in kinds), kinds
    assert connector == "parquet" or any("/_delta_log/" in name for name in kinds), kinds
    assert {encryption for _, encryption in kinds.values()} == {key}, kinds
    assert {kinds[name][0] for name in files} == {"NEARLINE"}
    assert {kinds[name][0] for name in set(kinds) - files} == {"STANDARD"}, kinds


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


@pytest.mark.parametrize("connector", ["parquet", "delta"])
def test_a_store_that_is_away_at_the_start_is_waited_for(lake, service, tmp_path: Path, connector):
    folder = tmp_path / "start"
    folder.mkdir()
    toml = SIMPLE.replace('"parquet"', f'"{connector}"')
    with Proxy(service.port) as proxy:
        proxy.refuse()
        keys = lake.keys(proxy.address, timeout="1s", retries=0)
        with Daemon(folder, toml.format(generator=GENERATOR, lake=keys), None, lake) as daemon:
            daemon.start()
            daemon.until(lambda: "the place does not answer; trying again" in daemon.log.read_text(), "a warning")
            daemon.check_alive()
            proxy.heal()
            daemon.report()
            assert daemon.rows("events", "SELECT count(*) FROM lake") == [(20_000,)]


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
