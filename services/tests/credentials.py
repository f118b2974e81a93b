"""What the trials of credentials share: a process that has nothing but one chain's environment, and what it may not tell."""

import os
from pathlib import Path

from ..daemon import Daemon
from ..guard import Guard
from ..marks import assert_untold, assert_untold_below
from ..signature import Key
from ..trial import Trial
from .test_kinesis import REGION

EVENTS = 200

NO_INSTANCE = {"AWS_EC2_METADATA_DISABLED": "true"}
"""For a machine that is no instance of EC2: else its address would be asked, and time out."""


def bare(daemon: Daemon, variables: dict[str, str]) -> None:
    """Takes from a daemon every variable but these, and gives it a home where nobody ever logged in."""
    home = daemon.folder / "home"
    home.mkdir()
    # Logs all that it can, so that whatever tells a secret is seen.
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "RUST_LOG": "debug"}
    daemon.environment = own | {name: str(value) for name, value in variables.items()}


def drain(trial: Trial, variables: dict[str, str], secret: set[str] = frozenset()) -> None:
    """Checks and runs with that environment; every event has to be there, and no secret but in the files of that name."""
    bare(trial.daemon, variables)
    checked = trial.daemon.check("--connect")
    assert checked.returncode == 0, checked.stderr
    assert_untold("check", (checked.stdout + checked.stderr).encode())
    trial.send(EVENTS)
    trial.daemon.start("-vv")
    trial.settle()
    assert_untold_below(trial.daemon.folder, secret)


def refused(daemon: Daemon, *told: str, code: int = 2) -> str:
    """Checks that a check is refused by that code, in words that hold all of these, and that tell no secret."""
    checked = daemon.check("--connect")
    words = checked.stdout + checked.stderr
    assert_untold("check", words.encode())
    assert checked.returncode == code, words
    for words_told in told:
        assert words_told in checked.stderr, f"{words_told!r} is not in: {checked.stderr}"
    return checked.stderr


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def guarded(guard: Guard, stream: str, more: str = "", region: str = REGION) -> str:
    """A stream of Kinesis behind a guard, as a source without credentials."""
    return f"""
connector = "kinesis"
stream = "{stream}"
aws_region = "{region}"
endpoint = "{guard.url}"
{more}"""


def by_variables(key: Key) -> dict[str, str]:
    """A key as AWS's programs find it in the environment."""
    named = {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
    return named | ({"AWS_SESSION_TOKEN": key.token} if key.token else {})
