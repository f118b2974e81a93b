"""A secret that is found wherever it is told: each secret of a trial has this mark in it."""

import base64
from pathlib import Path

MARK = "Marked0Secret1That2Nobody3MaySee"


def disguises() -> set[bytes]:
    """The mark as it is, and inside of longer texts in base64."""
    found = {MARK.encode()}
    for shift in range(3):
        encoded = base64.b64encode(b" " * shift + MARK.encode())
        # Neighbours have a part in the characters at both ends.
        found.add(encoded[4:-4])
    return found


def assert_untold(what: str, told: bytes) -> None:
    for disguise in disguises():
        at = told.find(disguise)
        assert at < 0, f"{what} tells the secret: {told[max(0, at - 200) : at + 60]!r}"


def assert_untold_below(folder: Path, secret: set[str]) -> None:
    """Looks at every file that a run left there, but those named `secret`."""
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in secret:
            assert_untold(str(file.relative_to(folder)), file.read_bytes())
