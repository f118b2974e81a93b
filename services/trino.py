"""Trino, one node, over lakes in folders of this machine and at an S3 that a test names.

Its catalogs are `hive`, with tables that are declared, and `delta`, with such as say themselves what they hold; both
keep what they know in files, and see `s3://` at that S3 and `file://` here. It wants a newer Java than the others.
"""

import os
import re
import subprocess
import uuid
from pathlib import Path

from . import s3
from .cache import Command
from .lakes import KEY
from .maven import unpacked_in_part
from .service import Service

OLDEST_JAVA = 24

CONFIGURATION = """\
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
node.bind-ip=127.0.0.1
node.internal-address=127.0.0.1
discovery.uri=http://127.0.0.1:{port}
catalog.management=static
query.max-memory=256MB
query.max-execution-time=1m
query.max-memory-per-node=256MB
memory.heap-headroom-per-node=128MB
task.concurrency=2
web-ui.enabled=false
"""

STORES = """\
fs.hadoop.enabled=true
fs.native-s3.enabled=true
s3.endpoint={endpoint}
s3.region={region}
s3.path-style-access=true
s3.aws-access-key={key}
s3.aws-secret-key={secret}
hive.metastore=file
hive.metastore.catalog.dir=file://{folder}/metastore
hive.metastore.disable-location-checks=true
"""

CATALOGS = {
    "hive": """\
connector.name=hive
hive.non-managed-table-writes-enabled=true
hive.partition-projection-enabled=true
hive.ignore-absent-partitions=true
hive.timestamp-precision=MICROSECONDS
hive.parquet.time-zone=UTC
""",
    "delta": """\
connector.name=delta_lake
delta.register-table-procedure.enabled=true
""",
}

# Of those that Trino's own launcher gives, what it cannot do without.
OPTIONS = [
    "-XX:+UseSerialGC",
    # Most of what it does here is to start.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:ReservedCodeCacheSize=256M",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djdk.nio.maxCachedBufferSize=2000000",
    "--add-modules=jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
    "-Duser.timezone=UTC",
]


def java() -> Path:
    """The first Java that is new enough: that of JAVA_HOME, or one of those that this machine keeps."""
    homes = [Path(home) for home in [os.environ.get("JAVA_HOME")] if home]
    homes += sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    for program in (home / "bin" / "java" for home in homes):
        if program.exists() and (_version(program) or 0) >= OLDEST_JAVA:
            return program
    raise RuntimeError(f"Trino wants Java {OLDEST_JAVA} or newer: install one, or name its folder in JAVA_HOME")


def _version(program: Path) -> int | None:
    told = subprocess.run([program, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found.group(1)) if found else None


class Trino(Service):
    name = "trino"
    ready = "======== SERVER STARTED ========"

    def __init__(self, endpoint: str = "http://127.0.0.1:1", key: str = "none", secret: str = "none") -> None:
        """`endpoint`: of the S3 that it reads, with who it is there."""
        super().__init__()
        self._store = {"endpoint": endpoint, "key": key, "secret": secret, "region": s3.REGION}

    @classmethod
    def reading(cls, server: s3.S3) -> "Trino":
        """One that reads from a server of ours."""
        return cls(f"http://{server.address}", KEY["access_key_id"], KEY["secret_access_key"])

    @classmethod
    def install(cls) -> None:
        java()
        cls._home()

    @classmethod
    def version(cls) -> str:
        return f"Trino {cls._home().name.removeprefix('trino-server-')}"

    @staticmethod
    def _home() -> Path:
        (home,) = unpacked_in_part("trino", "lib", "plugin/hive", "plugin/delta-lake").glob("trino-server-*")
        return home

    def prepare(self) -> None:
        etc = self.folder / "etc"
        (etc / "catalog").mkdir(parents=True)
        (etc / "config.properties").write_text(CONFIGURATION.format(port=self.port))
        (etc / "log.properties").write_text("=WARN\nio.trino.server.Server=INFO\n")
        stores = STORES.format(folder=self.folder, **self._store)
        for name, catalog in CATALOGS.items():
            (etc / "catalog" / f"{name}.properties").write_text(catalog + stores)

    def command(self) -> Command:
        home = self._home()
        settings = {
            "node.environment": "trial",
            "node.id": str(uuid.uuid4()),
            "node.data-dir": str(self.folder),
            "config": str(self.folder / "etc" / "config.properties"),
            "log.levels-file": str(self.folder / "etc" / "log.properties"),
            "catalog.config-dir": str(self.folder / "etc" / "catalog"),
            "plugin.dir": str(home / "plugin"),
        }
        defined = [f"-D{name}={value}" for name, value in settings.items()]
        return [java(), "-Xmx1g", *OPTIONS, *defined, "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_TRINO": f"http://{self.address}"}
