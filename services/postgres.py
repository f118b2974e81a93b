"""PostgreSQL, one server, over TLS or not, with a database `watershed`.

It does not run as root: where we do, it is the user `postgres` of the Debian package.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from .cache import Command, execute
from .certificates import Authority
from .service import Service

USER = "watershed"
PASSWORD = "postgres-password-41f7"

FOLDERS = "usr/lib/postgresql/[0-9]*/bin"

CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
shared_buffers = 32MB
"""


class Postgres(Service):
    name = "postgres"
    ready = "database system is ready to accept connections"

    @classmethod
    def binaries(cls) -> Path | None:
        """The folder of the newest server that is installed, in Debian's way or any other; none if it could not be run here."""
        if shutil.which("psql") is None or (os.getuid() == 0 and not cls._has_user()):
            return None
        debian = [path.parent for path in Path("/").glob(f"{FOLDERS}/initdb")]
        if debian:
            return max(debian, key=lambda folder: int(folder.parent.name))
        initdb = shutil.which("initdb")
        return Path(initdb).resolve().parent if initdb else None

    @staticmethod
    def _has_user() -> bool:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return False
        return True

    @classmethod
    def install(cls) -> None:
        if cls.binaries() is None:
            what = "there is no PostgreSQL here, with psql, and a user postgres where we are root"
            raise RuntimeError(f"{what}: install it, as by `apt-get install postgresql`")

    @classmethod
    def version(cls) -> str:
        folder = cls.binaries()
        if folder is None:
            return "PostgreSQL, not here"
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def prepare(self) -> None:
        authority = Authority(self.folder / "tls")
        self._authority, server = authority.certificate, authority.server()
        server.key.chmod(0o600)
        (self.folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = self.folder / "data"
        initdb = ["initdb", f"--pgdata={data}", f"--username={USER}", f"--pwfile={self.folder / 'password'}"]
        execute(self._as_user(*initdb, "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"), self.folder)
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(CONFIGURATION.format(port=self.port, certificate=server.certificate, key=server.key))

    def command(self) -> Command:
        return self._as_user("postgres", "-D", str(self.folder / "data"))

    def stop(self) -> None:
        """Ends sessions, which SIGTERM would wait for."""
        self._child.end(signal.SIGINT)

    def _as_user(self, program: str, *arguments: str) -> Command:
        self.install()
        command = [str(self.binaries() / program), *arguments]
        if os.getuid() != 0:
            return command
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "KILL"]
        return [*become, "--", *command]

    def wait_ready(self) -> None:
        super().wait_ready()
        if self.psql("SELECT 1 FROM pg_database WHERE datname = 'watershed'", "postgres") == "":
            self.psql("CREATE DATABASE watershed", "postgres")

    def psql(self, sql: str, database: str = "watershed") -> str:
        """What psql prints for a statement: rows without a frame."""
        command = ["psql", self.url(database), "-v", "ON_ERROR_STOP=1", "-qAtc", sql]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{sql}: {ran.stderr}")
        return ran.stdout.rstrip("\n")

    def url(self, database: str = "watershed", address: str | None = None) -> str:
        return f"postgresql://{USER}:{PASSWORD}@{address or self.address}/{database}"

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_POSTGRES": self.url(), "WATERSHED_POSTGRES_CA": str(self._authority)}
