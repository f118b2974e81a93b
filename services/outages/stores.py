"""Stores that can be stopped, slowed, made read-only, and made to take credentials no longer; a disk that can be full."""

import json
import subprocess
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .. import azurite, s3
from ..azurite import Azurite
from ..gcs import Gcs
from ..lakes import AzureLake, Bucket, Folder, GoogleLake, Lake, S3Lake, Table
from ..proxy import Proxy
from ..s3 import S3
from ..service import Service

SLOW = 50_000
"""Bytes a second and connection."""


Trouble = tuple[Callable[[], None], Callable[[], None]]
"""What begins it, and what ends it."""


class Place(ABC):
    """Where a lake lies, and what can come upon it. `name` is what people call it."""

    name: str

    ends_runs = False
    """True if its troubles end a run, which is started again after them."""

    @abstractmethod
    def lake_of(self, connector: str) -> Lake:
        """The lake that a sink of that kind writes here."""

    @abstractmethod
    def keys(self) -> str:
        """The lines of a region file that lead there."""

    @abstractmethod
    def troubles(self) -> dict[str, Trouble]:
        """Every kind of trouble that it can have."""

    @abstractmethod
    def close(self) -> None:
        pass


class Store(Place):
    """A store behind a network."""

    def __init__(self, folder: Path, service: Service):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.service = service
        self.proxy = Proxy(service.port)

    @property
    @abstractmethod
    def lake(self) -> Bucket:
        pass

    def lake_of(self, connector: str) -> Lake:
        return self.lake.table(self.service.address) if connector == "delta" else self.lake

    def troubles(self) -> dict[str, Trouble]:
        return {
            "stopped": (self.stop, self.heal),
            "slowed": (self.slow, self.heal),
            "read-only": (self.read_only, self.renew),
            "credentials expired": (self.expire, self.renew),
        }

    @abstractmethod
    def read_only(self) -> None:
        """From now on nothing may be written or removed."""

    @abstractmethod
    def expire(self) -> None:
        """From now on the daemon's credentials are good for nothing."""

    @abstractmethod
    def renew(self) -> None:
        """The daemon may do again what it could."""

    def stop(self) -> None:
        self.proxy.refuse()

    def slow(self) -> None:
        self.proxy.slow(SLOW)

    def heal(self) -> None:
        self.proxy.heal()

    def close(self) -> None:
        self.proxy.close()
        self.service.close()


class OnS3(Store):
    """A user of moto's, whose policy is taken and given."""

    name = "S3 (moto)"

    def __init__(self, folder: Path):
        import boto3

        service = S3().__enter__()
        super().__init__(folder, service)
        self._lake = S3Lake(service.address, "outage", folder)
        where = {"endpoint_url": f"http://{service.address}", "region_name": s3.REGION}
        # Whoever is not held to a policy looks at the lake and changes the policies.
        root = boto3.client("iam", **where, aws_access_key_id="test", aws_secret_access_key="test")
        root.create_user(UserName="root")
        self._allow(root, "root", "*")
        key = root.create_access_key(UserName="root")["AccessKey"]
        own = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        self._own = own
        self._iam = boto3.client("iam", **where, **own)
        self._lake.client = boto3.client("s3", **where, **own)
        self._iam.create_user(UserName="daemon")
        self._key = self._iam.create_access_key(UserName="daemon")["AccessKey"]
        self.renew()
        request = urllib.request.Request(f"http://{service.address}/moto-api/reset-auth", b"0", method="POST")
        request.add_header("content-type", "text/plain")
        urllib.request.urlopen(request, timeout=30).close()

    @property
    def lake(self) -> Bucket:
        return self._lake

    def lake_of(self, connector: str) -> Lake:
        lake = super().lake_of(connector)
        if isinstance(lake, Table):
            lake.options |= self._own
        return lake

    def keys(self) -> str:
        key = {"access_key_id": self._key["AccessKeyId"], "secret_access_key": self._key["SecretAccessKey"]}
        return self._lake.keys(self.proxy.address, **key)

    def read_only(self) -> None:
        self._allow(self._iam, "daemon", "s3:GetObject", "s3:ListBucket")

    def expire(self) -> None:
        self._iam.delete_user_policy(UserName="daemon", PolicyName="lake")

    def renew(self) -> None:
        self._allow(self._iam, "daemon", "s3:*")

    @staticmethod
    def _allow(iam, user: str, *actions: str) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="lake", PolicyDocument=policy)


class OnAzure(Store):
    """A shared access signature for a container, under a policy of it that is changed."""

    name = "Azure (azurite)"

    def __init__(self, folder: Path):
        service = Azurite().__enter__()
        super().__init__(folder, service)
        self._lake = AzureLake(service.address, "outage", folder)
        self.renew()

    @property
    def lake(self) -> Bucket:
        return self._lake

    def keys(self) -> str:
        from azure.storage.blob import generate_container_sas

        token = generate_container_sas(azurite.ACCOUNT, s3.BUCKET, account_key=azurite.KEY, policy_id="daemon")
        lines = self._lake.keys(self.proxy.address).splitlines()
        lines = [line for line in lines if not line.startswith("account_key")]
        return "\n".join([*lines, f"sas_token = {json.dumps(token)}"])

    def read_only(self) -> None:
        self._policy("rl", timedelta(days=1))

    def expire(self) -> None:
        self._policy("rwdlac", -timedelta(minutes=1))

    def renew(self) -> None:
        self._policy("rwdlac", timedelta(days=1))

    def _policy(self, permission: str, lasts: timedelta) -> None:
        from azure.storage.blob import AccessPolicy

        now = datetime.now(UTC)
        policy = AccessPolicy(permission=permission, start=now - timedelta(days=1), expiry=now + lasts)
        self._lake.client.set_container_access_policy({"daemon": policy})


class OnGoogle(Store):
    """Our stand-in for Google's, which is told what to refuse."""

    name = "Google (double)"

    def __init__(self, folder: Path):
        service = Gcs().__enter__()
        super().__init__(folder, service)
        self._lake = GoogleLake(service.address, "outage", folder)

    @property
    def lake(self) -> Bucket:
        return self._lake

    def keys(self) -> str:
        return self._lake.keys(self.proxy.address)

    def read_only(self) -> None:
        self._lake.deny("PUT", "POST", "DELETE", "abort")

    def expire(self) -> None:
        self._lake.deny("PUT", "POST", "DELETE", "abort", "GET", "HEAD", "list", "uploads")

    def renew(self) -> None:
        self._lake.deny()


SIZE = "2G"
"""Of a disk. It takes as much room as is written to it."""


class OnDisk(Place):
    """A file system of its own, in a file. To mount it takes root."""

    name = "a local folder"
    ends_runs = True

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._mounted = folder / "disk"
        self._mounted.mkdir()
        image = folder / "image"
        _run("truncate", "--size", SIZE, image)
        _run("mkfs.ext4", "-q", "-F", image)
        _run("mount", "-o", "loop", image, self._mounted)
        self._folder = self._mounted / "lake"
        self._folder.mkdir()

    def lake_of(self, connector: str) -> Lake:
        if connector == "delta":
            return Table(str(self._folder), {}, lambda key: self._folder / key)
        return Folder(self._folder)

    def keys(self) -> str:
        return f"url = {json.dumps(str(self._folder))}"

    def troubles(self) -> dict[str, Trouble]:
        return {
            "full": (self._fill, self._ballast.unlink),
            "not writable": (lambda: self._allow("+i"), lambda: self._allow("-i")),
            "stalled": (lambda: _run("fsfreeze", "-f", self._mounted), lambda: _run("fsfreeze", "-u", self._mounted)),
        }

    @property
    def _ballast(self) -> Path:
        return self._mounted / "ballast"

    def _fill(self) -> None:
        # It takes what there is, and fails.
        subprocess.run(["fallocate", "--length", SIZE, self._ballast], stderr=subprocess.DEVNULL)

    def _allow(self, flag: str) -> None:
        """Nothing is made in, removed from or renamed in a folder that has the flag `i`, by root neither."""
        _run("find", self._folder, "-type", "d", "-exec", "chattr", flag, "{}", "+")

    def close(self) -> None:
        _run("umount", self._mounted)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


STORES: dict[str, Callable[[Path], Store]] = {"s3": OnS3, "azure": OnAzure, "gcs": OnGoogle}

PLACES: dict[str, Callable[[Path], Place]] = STORES | {"local": OnDisk}
