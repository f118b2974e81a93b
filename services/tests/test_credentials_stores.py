"""Credentials of stores, by each link of the clouds' chains that their client knows: what the stores are shown.

A process has one environment, so each run is a machine of some kind, which writes to all three clouds at once. Guards stand
before the stand-ins of S3, Azure and Google; what gives credentials are doubles.
"""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from .. import azurite, s3
from ..certificates import Authority
from ..daemon import Daemon
from ..identity import (
    APP_SERVICE,
    CLIENT,
    CLIENT_SECRET,
    CONTAINER,
    CONTAINER_TOKEN,
    FEDERATED,
    IDENTITY_HEADER,
    ROLE,
    STORAGE,
    TENANT,
    AwsIdentity,
    Entra,
    GoogleIdentity,
)
from ..lakes import KINDS, Bucket
from ..marks import MARK, assert_untold, assert_untold_below
from ..store_guard import SHARED_KEY, AzureGuard, S3Guard, TokenGuard
from .credentials import bare, by_variables, written
from .test_credentials_google import ServiceAccount, held
from .test_lake import name_of

ROWS = 20_000

REGION = """
region = "trial"
[checkpoint]
interval = "200ms"
[sources.orders]
connector = "generator"
profile = "orders"
events = {ROWS}
rate = "20000/s"
{sinks}
[pipelines.events]
sinks = ["s3", "azure", "google"]
sql = "SELECT event_id, ts FROM orders"
"""

SINK = """
[sinks.{name}]
connector = "{connector}"
url = "{url}"
endpoint = "{endpoint}"
partition_by = ["region"]
{keys}
"""


class Machine:
    """What a machine knows: variables, and keys of the region file. `kinds` says of which kind the credentials are that each
    cloud may be shown."""

    def __init__(self, folder: Path, clouds: "Clouds"):
        self.folder, self.clouds = folder, clouds
        self.variables: dict[str, object] = {}
        self.keys = {"s3": f'aws_region = "{s3.REGION}"', "azure": f'account = "{azurite.ACCOUNT}"', "google": ""}
        self.kinds: dict[str, str] = {}

    def _service_account(self) -> Path:
        self.kinds["google"] = "signed"
        return held(self.folder, self.clouds.account.file())

    def variables_alone(self):
        """Keys as the clouds' own tools take them."""
        key = self.clouds.aws.make("env")
        self.kinds |= {"s3": "env", "azure": SHARED_KEY}
        self.variables |= by_variables(key) | {"AWS_REGION": s3.REGION}
        self.variables |= {"AZURE_STORAGE_ACCOUNT_NAME": azurite.ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": azurite.KEY}
        self.variables |= {"GOOGLE_SERVICE_ACCOUNT": self._service_account()}
        self.keys = {"s3": "", "azure": "", "google": ""}

    def pod(self):
        """A service account of Kubernetes with a file to show: IRSA, workload identity, application default credentials."""
        self.kinds |= {"s3": "web", "azure": "workload"}
        file = written(self.folder, "token", FEDERATED)
        self.variables |= {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": file}
        self.variables |= {"AWS_ENDPOINT_URL_STS": self.clouds.aws.url}
        self.variables |= {"AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
        self.variables |= {"GOOGLE_APPLICATION_CREDENTIALS": self._service_account()}

    def agent(self):
        """A pod of EKS and an app of App Service, which have an agent beside them."""
        self.kinds |= {"s3": "container", "azure": "service", "google": "metadata"}
        file = written(self.folder, "token", CONTAINER_TOKEN)
        self.variables |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.clouds.aws.url}{CONTAINER}"}
        self.variables |= {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file}
        self.variables |= {"IDENTITY_ENDPOINT": f"{self.clouds.service.url}{APP_SERVICE}"}
        self.variables |= {"IDENTITY_HEADER": IDENTITY_HEADER, "GCE_METADATA_HOST": self.clouds.google.address}

    def instance(self):
        """A virtual machine. Azure's metadata service has a fixed address, so it is reached by way of a proxy."""
        self.kinds |= {"s3": "instance", "azure": "machine"}
        self.variables |= {"AWS_METADATA_ENDPOINT": self.clouds.aws.url}
        self.variables |= {"http_proxy": self.clouds.service.url, "no_proxy": "127.0.0.1"}
        # Where gcloud keeps what it was given.
        home = self.folder / "home" / ".config" / "gcloud"
        home.mkdir(parents=True)
        self._service_account().rename(home / "application_default_credentials.json")
        self.variables |= {"HOME": self.folder / "home"}

    def task(self):
        """A task of ECS, whose agent has a fixed address, too; and keys in the file, which count for more than variables."""
        self.kinds |= {"s3": "container", "azure": "application"}
        self.variables |= {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": CONTAINER}
        self.variables |= {"http_proxy": self.clouds.aws.url, "no_proxy": "127.0.0.1", "SECRET": CLIENT_SECRET}
        self.variables |= {"AZURE_CLIENT_SECRET": f"wrong-{MARK}", "AZURE_TENANT_ID": "wrong"}
        other = written(self.folder, "other.json", json.dumps(ServiceAccount().file()))
        self.variables |= {"GOOGLE_APPLICATION_CREDENTIALS": other}
        told = f'tenant_id = "{TENANT}"\nclient_id = "{CLIENT}"\nclient_secret = "${{SECRET}}"'
        self.keys["azure"] += f"\n{told}"
        self.keys["google"] = f'credentials = "{self._service_account()}"'


class Clouds:
    """Three stores behind guards, and what gives credentials for them. `life` is how many seconds those last."""

    def __init__(self, serve, folder: Path, tls: bool = False, life: int = 3600):
        authority = Authority(folder / "tls")
        self.roots = authority.certificate
        # STS is only asked over TLS.
        self.aws = AwsIdentity(life, identity=authority.server() if tls else None)
        self.entra = Entra(authority.server(), life, STORAGE)
        self.service = Entra(None, life, STORAGE)
        self.google = GoogleIdentity(life=life)
        self.account = ServiceAccount()
        self.guards = {
            "s3": S3Guard(serve("s3").port, self.aws.key),
            "azure": AzureGuard(serve("azurite").port, self._is_azures),
            "google": TokenGuard(serve("gcs").port, self._is_googles),
        }

    def _is_azures(self, token: str) -> bool:
        return token in {given.value for of in (self.entra, self.service) for given in of.tokens}

    def _is_googles(self, token: str) -> bool:
        return token in {given.value for given in self.google.tokens} or self.account.signed(token)

    def may_show(self, cloud: str, kind: str, shown: str) -> bool:
        match cloud:
            case "s3":
                return shown in self.aws.given(kind)
            case "azure":
                return shown in [SHARED_KEY] * (kind == SHARED_KEY) + self.entra.given(kind) + self.service.given(kind)
        return self.account.signed(shown) if kind == "signed" else shown in self.google.given(kind)

    def close(self) -> None:
        for double in (self.aws, self.entra, self.service, self.google, *self.guards.values()):
            double.close()


def lakes_of(serve, tmp_path: Path) -> dict[str, Bucket]:
    kinds, name = {"s3": "s3", "azure": "azurite", "google": "gcs"}, name_of(tmp_path)
    return {of: KINDS[kind](serve(kind).address, name, tmp_path / "fetched" / of) for of, kind in kinds.items()}


MACHINES = [name for name in vars(Machine) if not name.startswith("_")]

SHORT = {"agent", "task"}
"""Of these credentials do not last: a run that goes on asks for others."""


@pytest.mark.parametrize("kind", MACHINES)
def test_chain(kind, serve, tmp_path: Path, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys")
    clouds = Clouds(serve, keys, tls=kind == "pod", life=60 if kind in SHORT else 3600)
    try:
        machine = Machine(keys, clouds)
        getattr(machine, kind)()
        written_by(machine, lakes_of(serve, tmp_path), tmp_path / "trial")
        for cloud, guard in clouds.guards.items():
            shown = guard.shown
            assert shown, f"nobody came to {cloud}"
            assert all(clouds.may_show(cloud, machine.kinds[cloud], one) for one in shown), cloud
            # Where they last, a check and a run ask for three at most.
            renews = kind in SHORT and machine.kinds[cloud] != "signed"
            assert len(shown) > 3 or not renews, f"nothing was renewed for {cloud}"
    finally:
        clouds.close()


def written_by(machine: Machine, lakes: dict[str, Bucket], folder: Path) -> None:
    """Checks and runs on that machine; every row has to be in every lake, and no secret told."""
    folder.mkdir()
    clouds, sinks = machine.clouds, []
    for cloud, lake in lakes.items():
        endpoint = clouds.guards[cloud].url + (f"/{azurite.ACCOUNT}" if cloud == "azure" else "")
        url = f"{lake.scheme}://{s3.BUCKET}/{lake.name}"
        connector = "delta" if cloud == "google" else "parquet"
        sinks.append(SINK.format(name=cloud, connector=connector, url=url, endpoint=endpoint, keys=machine.keys[cloud]))
    with Daemon(folder, REGION.format(ROWS=ROWS, sinks="".join(sinks))) as daemon:
        around = {"SSL_CERT_FILE": clouds.roots, "AZURE_AUTHORITY_HOST": clouds.entra.url}
        bare(daemon, around | machine.variables)
        checked = daemon.check("--connect")
        assert checked.returncode == 0, checked.stderr
        assert_untold("check", (checked.stdout + checked.stderr).encode())
        daemon.start("-vv")
        assert daemon.report()["read"] == ROWS
    for cloud, lake in lakes.items():
        assert sum(pyarrow.parquet.read_metadata(file).num_rows for file in lake.files("events")) == ROWS, cloud
    assert_untold_below(folder, set())
