"""Servers that come from npm, all in one installation."""

import json
from pathlib import Path

from .cache import HERE, Command, execute, installed
from .service import Service

MANIFEST = HERE / "npm" / "package.json"
LOCK = HERE / "npm" / "package-lock.json"
LOOPBACK_ONLY = HERE / "npm" / "loopback.cjs"


def modules() -> Path:
    """The folder of installed packages."""

    def install(folder: Path) -> None:
        for file in (MANIFEST, LOCK):
            (folder / file.name).write_bytes(file.read_bytes())
        execute(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return installed("npm", [MANIFEST, LOCK], install) / "node_modules"


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
