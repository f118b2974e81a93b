"""What every source has to survive."""

import random
from collections.abc import Callable

from ..trial import Trial

KILLS = 20


def plain(trial: Trial, count: int = 20_000) -> None:
    """Half of the events are there before the daemon, and half come while it runs."""
    trial.send(count // 2)
    trial.daemon.start()
    trial.until_counted()
    trial.send(count - count // 2)
    trial.settle()


def killed(trial: Trial, count: int = 20_000, seconds: float = 15, kills: int = KILLS, seed: int = 1) -> None:
    """The daemon is killed again and again while events come, and goes on each time."""
    with trial.load(count, seconds):
        kill(trial, kills, seed)
    trial.daemon.start()
    trial.settle()


def kill(trial: Trial, kills: int, seed: int = 1) -> None:
    """So many lives, none of which ends well."""
    chance = random.Random(seed)
    for _ in range(kills):
        trial.daemon.die_at_random(chance)


def disturbed(trial: Trial, *disturbances: Callable[[], None], count: int = 20_000, seconds: float = 5) -> None:
    """One disturbance after the other comes upon a daemon that runs, each after some more events have been counted."""
    trial.daemon.start()
    with trial.load(count, seconds):
        for number, disturb in enumerate(disturbances):
            trial.until_counted(count * number // (2 * len(disturbances)) + 1)
            disturb()
    trial.settle()
