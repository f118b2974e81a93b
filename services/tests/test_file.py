"""Files that grow: no server at all, so what fails here is not a connector's fault."""

import json
from pathlib import Path

import pytest

from . import journeys


@pytest.fixture
def growing(trial, tmp_path: Path):
    path = tmp_path / "events.ndjson"
    path.touch()

    def send(events):
        with open(path, "a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    return trial(f'connector = "file"\npath = "{path}"\nfollow = true', send)


def test_plain(growing):
    journeys.plain(growing)


def test_killed(growing):
    journeys.killed(growing)
