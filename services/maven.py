"""Servers that come from Maven Central, each as its manifest says."""

from pathlib import Path

from .cache import HERE, execute, installed

JAVA = ["java", "-XX:+UseSerialGC"]
"""The garbage collector with the fewest threads: several servers share a small machine."""


def jars(name: str) -> Path:
    """The folder of everything that a manifest depends on."""
    return _installed(name, "dependency:copy-dependencies", "-DincludeScope=runtime")


def unpacked(name: str) -> Path:
    """The folder of what was in the archive that a manifest names."""
    return _installed(name, "dependency:unpack")


def _installed(name: str, *goal: str) -> Path:
    manifest = HERE / "maven" / f"{name}.xml"

    def install(folder: Path) -> None:
        (folder / "pom.xml").write_bytes(manifest.read_bytes())
        execute(["mvn", "--quiet", "--batch-mode", *goal, f"-DoutputDirectory={folder / 'out'}"], folder)

    return installed(name, [manifest], install) / "out"
