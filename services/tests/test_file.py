"""Files that grow: no server at all, so what fails here is not a connector's fault."""

from pathlib import Path

import pytest

from ..trial import Growing
from . import journeys


@pytest.fixture
def growing(trial, tmp_path: Path):
    events = Growing(tmp_path)
    return trial(events.source, events.send)


def test_plain(growing):
    journeys.plain(growing)


def test_killed(growing):
    journeys.killed(growing)


def test_the_verdict_sees_what_is_lost_and_what_is_doubled(growing):
    """Proof of the proof: an event that never reached the file, and one that came twice, do not pass."""
    whole = growing.sender
    growing.sender = lambda events: whole([*events[1:], events[-1]])
    growing.send(1_000)
    growing.daemon.start()
    growing.until_counted(998)
    growing.daemon.stop()
    with pytest.raises(AssertionError, match=r"2 missing, such as \[0, 500\]; 2 doubled"):
        growing.assert_each_once()
