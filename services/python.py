"""The Python in which the tests run: a virtual environment with all that requirements.txt pins."""

import sys
from pathlib import Path

from .cache import HERE, execute, installed

REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """Its interpreter."""

    def install(folder: Path) -> None:
        execute([sys.executable, "-m", "venv", folder], folder)
        execute([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], folder)

    return installed("python", [REQUIREMENTS], install) / "bin" / "python"
