"""What the services are made of, installed once into a folder of the user's cache.

An installation is named for the files that describe it, so a change of a pinned version makes a new one beside it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent

Command = Sequence[str | Path]


def root() -> Path:
    """The folder that holds every installation."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "watershed" / "services"


def installed(name: str, described_by: Iterable[Path], install: Callable[[Path], None]) -> Path:
    """The folder of an installation; `install` fills it if no earlier call, of any process, has completed it."""
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in described_by)).hexdigest()[:12]
    folder = root() / f"{name}-{digest}"
    complete = folder / ".complete"
    if complete.exists():
        return folder
    root().mkdir(parents=True, exist_ok=True)
    with open(root() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            complete.touch()
    return folder


def execute(command: Command, folder: Path) -> None:
    """Runs one step of an installation; what it prints is shown only if it fails."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
