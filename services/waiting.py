"""Waiting for what has no event to wait on: a file, a row, an answer."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PAUSE = 0.02


def until(ask: Callable[[], Answer], what: str, within: float = 60, pause: float = PAUSE) -> Answer:
    """Asks again and again until the answer holds, and gives it; raises when that takes too long."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(pause)
    return answer
