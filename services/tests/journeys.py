"""What every source has to survive."""

import os
import random
import signal
import time
from collections.abc import Callable

from ..proxy import Proxy
from ..trial import RATE, Trial
from ..waiting import until

KILLS = 20

FAULT_LASTS = 2
"""Seconds, above most of the first time-outs of clients and below those after which they give up."""


def plain(trial: Trial, count: int = 20_000) -> None:
    """Half of the events are there before the daemon, and half come while it runs."""
    trial.send(count // 2)
    trial.daemon.start()
    trial.until_counted()
    trial.send(count - count // 2)
    trial.settle()


def killed(trial: Trial, kills: int = KILLS, rate: int = RATE) -> None:
    """The daemon is killed again and again while events come, and goes on each time."""
    with trial.load(rate):
        kill(trial, kills)
        trial.daemon.start()
        trial.until_more()
    trial.settle()


def kill(trial: Trial, kills: int, seed: int = 1) -> None:
    """So many lives, none of which ends well."""
    chance = random.Random(seed)
    for _ in range(kills):
        trial.daemon.die_at_random(chance)


def disturbed(trial: Trial, *disturbances: Callable[[], object], rate: int = RATE) -> None:
    """One disturbance after the other comes upon a daemon that is reading, and it reads on after each."""
    trial.daemon.start()
    with trial.load(rate):
        for disturb in disturbances:
            trial.until_more()
            disturb()
        trial.until_more()
    trial.settle()


def unconnected(trial: Trial, proxy: Proxy, rate: int = RATE) -> None:
    """The network between the daemon and its source fails in every way there is."""

    def for_a_while(fault: Callable[[], None]) -> Callable[[], None]:
        def disturb() -> None:
            fault()
            time.sleep(FAULT_LASTS)
            proxy.heal()

        return disturb

    faults = [proxy.cut, proxy.stall, proxy.refuse, lambda: proxy.slow(50_000)]
    disturbed(trial, *map(for_a_while, faults), rate=rate)


IN_REAL_TIME = 'max_delay = "2s"\nidle_after = "1s"'
"""Windows close as events come, and soon after they cease."""


def outage(trial: Trial, proxy: Proxy, fault: Callable[[Proxy], None] = Proxy.refuse) -> None:
    """A source that does not answer is not one that has nothing to say: no window closes over events that were sent
    while it was away. Wants a trial that is IN_REAL_TIME."""
    trial.daemon.start()
    # As many a second as make event time pass as the clock does.
    with trial.load(rate=100):
        trial.until_more()
        fault(proxy)
        time.sleep(4 * FAULT_LASTS)
        proxy.heal()
        trial.until_more()
    report = trial.settle()
    assert report["pipelines"]["counts"]["late"] == 0


def zombie(trial: Trial) -> None:
    """A daemon is stopped in its tracks, and wakes up when another has gone on."""
    rival = trial.daemon.rival()
    with rival, trial.load():
        rival.start()
        until(lambda: trial.counted() > 0, "events in the lake")
        os.kill(rival.pid, signal.SIGSTOP)
        trial.daemon.start()
        trial.until_more()
        os.kill(rival.pid, signal.SIGCONT)
        assert rival.wait() == 1
        trial.until_more()
    trial.settle()
