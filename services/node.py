"""Servers that come from npm, all in one installation."""

import json
from pathlib import Path

from .cache import HERE, Command, execute, installed
from .service import Service

LOOPBACK_ONLY = HERE / "npm" / "loopback.cjs"


def installation(folder: Path) -> Path:
    """Where the packages are installed that the manifest and the lock in a folder name."""
    files = [folder / "package.json", folder / "package-lock.json"]

    def install(into: Path) -> None:
        for file in files:
            (into / file.name).write_bytes(file.read_bytes())
        execute(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], into)

    return installed(folder.name, files, install)


def modules() -> Path:
    """The folder of the servers' packages."""
    return installation(HERE / "npm") / "node_modules"


class NodeService(Service):
    """A server in Node, held to loopback: most of those below would listen on every address."""

    package: str

    @classmethod
    def install(cls) -> None:
        modules()

    @classmethod
    def version(cls) -> str:
        manifest = json.loads((modules() / cls.package / "package.json").read_text())
        return f"{cls.package} {manifest['version']}"

    @classmethod
    def node(cls, script: str, *arguments: str | Path) -> Command:
        return ["node", "--require", LOOPBACK_ONLY, modules() / cls.package / script, *arguments]
