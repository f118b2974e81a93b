"""Where a daemon's files lie: in its folder, or at a store, from which they are fetched by other people's clients."""

import json
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from . import azurite, gcs, s3


class Lake(ABC):
    """A folder with the files of pipelines."""

    @abstractmethod
    def files(self, pipeline: str) -> list[Path]:
        """The files of a pipeline that a reader sees now."""


class Folder(Lake):
    def __init__(self, folder: Path):
        self._folder = folder

    def files(self, pipeline: str) -> list[Path]:
        return list(self._folder.glob(f"region=*/**/{pipeline}-*.parquet"))


class Table(Lake):
    """A Delta table, of which delta-rs says what it consists of; a file is where `place` finds it by its key."""

    def __init__(self, url: str, options: dict[str, str], place: Callable[[str], Path]):
        self.url = url
        self.options = options
        self._place = place

    def open(self):
        from deltalake import DeltaTable

        return DeltaTable(self.url, storage_options=self.options)

    def files(self, pipeline: str) -> list[Path]:
        from deltalake.exceptions import TableNotFoundError

        try:
            uris = self.open().file_uris()
        except TableNotFoundError:
            return []
        keys = [unquote(uri).removeprefix(self.url).lstrip("/") for uri in uris]
        return [self._place(key) for key in keys if key.rsplit("/", 1)[-1].startswith(f"{pipeline}-")]


class Bucket(Lake):
    """A lake at a store. What is seen there never changes, so each file is fetched once, into `folder`."""

    scheme: str

    def __init__(self, name: str, folder: Path):
        self.name = name
        self._folder = folder

    @abstractmethod
    def access(self, address: str) -> dict[str, str]:
        """The keys of a region file for a store at `address`."""

    @abstractmethod
    def listed(self) -> list[str]:
        """Every object of the lake."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        pass

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        pass

    @abstractmethod
    def remove(self, key: str) -> None:
        pass

    @abstractmethod
    def unfinished(self) -> list[str]:
        """What was begun to be uploaded, and is no object yet."""

    def keys(self, address: str, folder: str = "", **changed: str) -> str:
        """The lines of a region file that lead to a folder of this lake."""
        keys = {"url": f"{self.scheme}://{s3.BUCKET}/{self.name}{folder}"} | self.access(address) | changed
        return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())

    def files(self, pipeline: str) -> list[Path]:
        return [self._fetched(key) for key in self.visible() if key.rsplit("/", 1)[-1].startswith(f"{pipeline}-")]

    def visible(self) -> list[str]:
        """The files of all pipelines that a reader sees now."""
        below = f"{self.name}/region="
        return [key for key in self.listed() if key.startswith(below) and key.endswith(".parquet")]

    def table(self, address: str) -> Table:
        """The lake as a Delta table."""
        url = f"{self.scheme}://{s3.BUCKET}/{self.name}"
        return Table(url, self.for_delta(address), lambda key: self._fetched(f"{self.name}/{key}"))

    @abstractmethod
    def for_delta(self, address: str) -> dict[str, str]:
        """What delta-rs wants to know of a store at `address`."""

    def _fetched(self, key: str) -> Path:
        path = self._folder / key
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(key))
        return path


# moto lets everybody in. The daemon hides both wherever they stand, so they are no words.
KEY = {"access_key_id": "AKIA0TRIAL0TRIAL", "secret_access_key": "0secret0of0nobody0"}


class S3Lake(Bucket):
    scheme = "s3"

    def __init__(self, address: str, name: str, folder: Path):
        import boto3

        super().__init__(name, folder)
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            region_name=s3.REGION,
            aws_access_key_id=KEY["access_key_id"],
            aws_secret_access_key=KEY["secret_access_key"],
        )

    def access(self, address: str) -> dict[str, str]:
        return {"endpoint": f"http://{address}", "aws_region": s3.REGION} | KEY

    def for_delta(self, address: str) -> dict[str, str]:
        keys = {f"aws_{key}": value for key, value in KEY.items()}
        return keys | {"aws_region": s3.REGION, "aws_endpoint_url": f"http://{address}", "aws_allow_http": "true"}

    def listed(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=s3.BUCKET, Prefix=f"{self.name}/")
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=s3.BUCKET, Key=key, Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=s3.BUCKET, Key=key)

    def unfinished(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=s3.BUCKET, Prefix=f"{self.name}/")
        return [upload["Key"] for upload in found.get("Uploads", [])]


class AzureLake(Bucket):
    scheme = "az"

    def __init__(self, address: str, name: str, folder: Path):
        from azure.storage.blob import ContainerClient

        super().__init__(name, folder)
        account = f"http://{address}/{azurite.ACCOUNT}"
        # Azurite may be older than the client.
        version = "2021-12-02"
        self.client = ContainerClient(account, s3.BUCKET, credential=azurite.KEY, api_version=version)

    def access(self, address: str) -> dict[str, str]:
        keys = {"account": azurite.ACCOUNT, "account_key": azurite.KEY}
        return {"endpoint": f"http://{address}/{azurite.ACCOUNT}"} | keys

    def for_delta(self, address: str) -> dict[str, str]:
        keys = {"azure_storage_account_name": azurite.ACCOUNT, "azure_storage_account_key": azurite.KEY}
        return keys | {"azure_storage_endpoint": f"http://{address}/{azurite.ACCOUNT}", "allow_http": "true"}

    def listed(self) -> list[str]:
        return list(self.client.list_blob_names(name_starts_with=f"{self.name}/"))

    def read(self, key: str) -> bytes:
        return self.client.download_blob(key).readall()

    def write(self, key: str, content: bytes) -> None:
        self.client.upload_blob(key, content, overwrite=True)

    def remove(self, key: str) -> None:
        self.client.delete_blob(key)

    def unfinished(self) -> list[str]:
        seen = set(self.listed())
        found = self.client.list_blobs(name_starts_with=f"{self.name}/", include=["uncommittedblobs"])
        return [blob.name for blob in found if blob.name not in seen]


class GoogleLake(Bucket):
    scheme = "gs"

    def __init__(self, address: str, name: str, folder: Path):
        super().__init__(name, folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._url = f"http://{address}"

    def access(self, address: str) -> dict[str, str]:
        key = self._folder.parent / f"{self.name}-{address.replace(':', '-')}.json"
        key.write_text(json.dumps(gcs.NOBODY))
        return {"endpoint": f"http://{address}", "credentials": str(key)}

    def for_delta(self, address: str) -> dict[str, str]:
        key = self._folder.parent / f"{self.name}-for-delta.json"
        key.write_text(json.dumps(gcs.NOBODY | {"gcs_base_url": f"http://{address}"}))
        return {"google_service_account": str(key), "allow_http": "true"}

    def listed(self) -> list[str]:
        keys, token = [], ""
        while token is not None:
            page = self._ask("GET", f"?list-type=2&prefix={self.name}/&continuation-token={quote(token, safe='')}")
            page = ElementTree.fromstring(page)
            keys += [found.text for found in page.iter("Key")]
            token = page.findtext("NextContinuationToken")
        return keys

    def read(self, key: str) -> bytes:
        return self._ask("GET", f"/{quote(key)}")

    def write(self, key: str, content: bytes) -> None:
        self._ask("PUT", f"/{quote(key)}", content)

    def remove(self, key: str) -> None:
        self._ask("DELETE", f"/{quote(key)}")

    def unfinished(self) -> list[str]:
        return [found.text for found in ElementTree.fromstring(self._ask("GET", f"?uploads&prefix={self.name}/")).iter("Key")]

    def deny(self, *kinds: str) -> None:
        """Makes the server refuse requests of these kinds, and no others."""
        request = urllib.request.Request(f"{self._url}/?deny={','.join(kinds)}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()

    def kind(self, key: str) -> tuple[str, str | None]:
        """The storage class of an object, and the key that it is encrypted with, if one was named."""
        request = urllib.request.Request(f"{self._url}/{gcs.BUCKET}/{quote(key)}", method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["x-goog-storage-class"], answer.headers["x-goog-encryption-kms-key-name"]

    def _ask(self, method: str, what: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self._url}/{gcs.BUCKET}{what}", method=method, data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


KINDS: dict[str, type[Bucket]] = {"s3": S3Lake, "azurite": AzureLake, "gcs": GoogleLake}
"""By the service that stands in for the store."""
