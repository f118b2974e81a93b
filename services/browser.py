"""A browser that looks at pages: Chromium, as npm has it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from .cache import HERE
from .node import installation

FOLDER = HERE / "browser"
WITHIN = 120
"""Seconds for four looks at a page; the first unpacks the browser."""


def look(page: Path, pictures: Path) -> dict[str, Any]:
    """What is to be seen of a page, in light and dark, wide and narrow; leaves pictures."""
    script = (FOLDER / "look.mjs").read_text()
    command = ["node", "--input-type=module", "-", page.resolve(), pictures.resolve()]
    # By standard input, so that its packages are found from the folder that it runs in.
    done = subprocess.run(command, input=script, cwd=installation(FOLDER), capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
