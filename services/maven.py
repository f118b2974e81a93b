"""Servers that come from Maven Central, each as its manifest says."""

import shutil
import tarfile
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


def unpacked_in_part(name: str, *folders: str) -> Path:
    """The same of a tar file, only what is below some folders of it.

    Maven knows no hard links: it makes empty files of them.
    """

    def unpack(folder: Path) -> None:
        _run(name, folder, "dependency:copy")
        (archive,) = (folder / "out").iterdir()
        _unpack(archive, folder / "parts", folders)
        shutil.rmtree(folder / "out")

    return installed(name, [_manifest(name)], unpack) / "parts"


def _unpack(archive: Path, to: Path, folders: tuple[str, ...]) -> None:
    with tarfile.open(archive) as tar:
        files = [member for member in tar if not member.isdir()]
    places: dict[str, list[Path]] = {}
    for file in files:
        if any(f"/{folder}/" in file.name for folder in folders):
            places.setdefault(file.linkname if file.islnk() else file.name, []).append(to / file.name)
    # Once more from the start, and each file once: in what is compressed there is no going back.
    with tarfile.open(archive) as tar:
        for member in tar:
            first, *others = places.get(member.name, [None])
            if first is not None:
                first.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as content, open(first, "wb") as file:
                    shutil.copyfileobj(content, file)
            for other in others:
                other.parent.mkdir(parents=True, exist_ok=True)
                other.hardlink_to(first)


def _manifest(name: str) -> Path:
    return HERE / "maven" / f"{name}.xml"


def _installed(name: str, *goal: str) -> Path:
    return installed(name, [_manifest(name)], lambda folder: _run(name, folder, *goal)) / "out"


def _run(name: str, folder: Path, *goal: str) -> None:
    """Has Maven do what a manifest says, into `out` of a folder."""
    (folder / "pom.xml").write_bytes(_manifest(name).read_bytes())
    execute(["mvn", "--quiet", "--batch-mode", *goal, f"-DoutputDirectory={folder / 'out'}"], folder)
