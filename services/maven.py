"""Servers that come from Maven Central."""

from pathlib import Path

from .cache import HERE, execute, installed

MANIFEST = HERE / "maven" / "pom.xml"


def jars() -> Path:
    """The folder of everything that the manifest names, and what that depends on."""

    def install(folder: Path) -> None:
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
        execute(["mvn", "--quiet", "--batch-mode", "--file", MANIFEST, *copy], folder)

    return installed("maven", [MANIFEST], install) / "jars"
