"""A browser that looks at pages: Chromium, as npm has it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from .cache import HERE, execute, installed

FOLDER = HERE / "browser"
MANIFEST = FOLDER / "package.json"
LOCK = FOLDER / "package-lock.json"
WITHIN = 120
"""Seconds for four looks at a page; the first unpacks the browser."""


def modules() -> Path:
    """The folder of the installation."""

    def install(folder: Path) -> None:
        for file in (MANIFEST, LOCK):
            (folder / file.name).write_bytes(file.read_bytes())
        execute(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return installed("browser", [MANIFEST, LOCK], install)


def look(page: Path, pictures: Path) -> dict[str, Any]:
    """What is to be seen of a page, in light and dark, wide and narrow; leaves pictures."""
    script = (FOLDER / "look.mjs").read_text()
    command = ["node", "--input-type=module", "-", page.resolve(), pictures.resolve()]
    # By standard input, so that its packages are found from the folder that it runs in.
    done = subprocess.run(command, input=script, cwd=modules(), capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
