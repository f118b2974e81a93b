"""The Pythons in which the tests, and servers that are written in it, run: virtual environments with all that is pinned."""

import sys
from pathlib import Path

from .cache import HERE, execute, installed

REQUIREMENTS = HERE / "requirements.txt"


def environment(name: str, requirements: Path) -> Path:
    """The folder of programs of an environment."""

    def install(folder: Path) -> None:
        execute([sys.executable, "-m", "venv", folder], folder)
        execute([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", requirements], folder)

    return installed(name, [requirements], install) / "bin"


def python() -> Path:
    """The interpreter of the tests."""
    return environment("python", REQUIREMENTS) / "python"
