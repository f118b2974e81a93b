"""The four lakes, and which of their files somebody opens."""

import os
import re
import subprocess
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..daemon import Daemon, program
from ..lakes import KEY, S3Lake
from ..s3 import BUCKET, REGION, S3
from ..waiting import until
from . import sample
from .reader import Place

SINKS = ("parquet", "delta")


class Lake(ABC):
    """What the program wrote with one kind of sink into one kind of store."""

    store: str

    def __init__(self, sink: str, daemon: Daemon):
        self.sink = sink
        self._daemon = daemon

    @property
    def name(self) -> str:
        return f"{self.sink}, {self.store}"

    @abstractmethod
    def place(self, table: str) -> Place:
        pass

    @abstractmethod
    def files(self, table: str) -> int:
        """How many there are with rows in them."""

    @abstractmethod
    def opened(self, table: str):
        """A context: how many of these files were opened in it, by whomever."""

    def ddl(self, engine: str, table: str) -> str:
        """What `watershed ddl` prints for a table."""
        command = [program(), "ddl", "region.toml", "--for", engine, "--pipeline", table]
        done = subprocess.run(command, cwd=self._daemon.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout


class FolderLake(Lake):
    store = "folder"

    def __init__(self, sink: str, folder: Path):
        folder.mkdir()
        super().__init__(sink, sample.write(folder, sink, lambda table: f'url = "{folder}/lake/{table}"'))
        self._root = folder / "lake"

    def place(self, table: str) -> Place:
        return Place(self.sink, f"{self._root}/{table}", sample.TABLES[table])

    def files(self, table: str) -> int:
        return len(self._paths(table))

    @contextmanager
    def opened(self, table: str) -> Iterator[Callable[[], int]]:
        # A file system notes a reading if the one before was earlier than the last change.
        for path in self._paths(table):
            os.utime(path, ns=(0, path.stat().st_mtime_ns))
        yield lambda: sum(path.stat().st_atime_ns > 0 for path in self._paths(table))

    def _paths(self, table: str) -> list[Path]:
        return [path for path in (self._root / table).rglob("*.parquet") if "_delta_log" not in path.parts]


class S3sLake(Lake):
    store = "S3"

    def __init__(self, sink: str, folder: Path, server: S3):
        folder.mkdir()
        self._lake = S3Lake(server.address, f"readers-{sink}", folder / "fetched")
        super().__init__(sink, sample.write(folder, sink, lambda table: self._lake.keys(server.address, f"/{table}")))
        self._server = server
        self._marks = 0

    def place(self, table: str) -> Place:
        who = {"endpoint": f"http://{self._server.address}", "region": REGION}
        who |= {"key": KEY["access_key_id"], "secret": KEY["secret_access_key"]}
        return Place(self.sink, f"s3://{BUCKET}/{self._lake.name}/{table}", sample.TABLES[table], **who)

    def files(self, table: str) -> int:
        below = f"{self._lake.name}/{table}/"
        keys = [key for key in self._lake.listed() if key.startswith(below) and key.endswith(".parquet")]
        return len([key for key in keys if "_delta_log" not in key])

    @contextmanager
    def opened(self, table: str) -> Iterator[Callable[[], int]]:
        before = len(self._told())

        def count() -> int:
            asked = re.compile(rf"GET /{BUCKET}/{self._lake.name}/{table}/(\S+\.parquet)[ ?]")
            found = {match.group(1) for told in self._told()[before:] if (match := asked.search(told))}
            return len({key for key in found if not key.startswith("_delta_log")})

        yield count

    def _told(self) -> list[str]:
        """The server's log, with all that was asked so far in it."""
        self._marks += 1
        mark = f"/{BUCKET}/{self._lake.name}-mark-{self._marks}"
        request = urllib.request.Request(f"http://{self._server.address}{mark}", method="PUT", data=b"")
        urllib.request.urlopen(request, timeout=30).close()
        log = self._server.folder / "log.txt"
        return until(lambda: mark in (text := log.read_text()) and text.splitlines(), "the server's log")


def all_lakes(folder: Path, server: S3) -> list[Lake]:
    folders = [FolderLake(sink, folder / f"{sink}-folder") for sink in SINKS]
    buckets = [S3sLake(sink, folder / f"{sink}-s3", server) for sink in SINKS]
    return [lake for pair in zip(folders, buckets, strict=True) for lake in pair]
