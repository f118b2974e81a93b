"""Two sinks of one pipeline at two clouds: one goes dark under load, and afterwards both have every row once."""

import json
import math
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from ..daemon import Daemon
from ..lakes import KINDS, Folder
from ..ports import LOOPBACK, free
from ..proxy import Proxy
from ..trial import Growing, Trial, region
from .test_lake import name_of

PARTS = 'partition_by = ["region"]\nroll = { size = "16MB", every = "1s", idle = "200ms" }'

ROWS = "SELECT COLUMNS(*)::VARCHAR FROM lake ORDER BY ALL"

EPOCHS = 15
"""How many pass while a store is dark: many more than are on their way when it goes."""


class Mirrored:
    """A trial whose lake is at a store that answers, with a mirror at another, which is asked through a proxy."""

    def __init__(self, folder: Path, proxy: Proxy, steady: tuple[str, str], dark: tuple[str, str], sink: str):
        self.proxy = proxy
        lakes = [KINDS[kind](address, name_of(folder), folder / f"fetched-{kind}") for kind, address in (steady, dark)]
        self.store = lakes[1]
        mirror = self.store.keys(proxy.address, timeout="2s")
        self.http = f"{LOOPBACK}:{free(1)[0]}"
        events = Growing(folder)
        text = region(events.source, lake=lakes[0].keys(steady[1]))
        text = text.replace('sink = "lake"', 'sinks = ["lake", "mirror"]')
        text += f'\n[sinks.mirror]\nconnector = "{sink}"\non_outage = "spill"\n{mirror}\n{PARTS}\n'
        text += f'\n[http]\nlisten = "{self.http}"\n'

        home = folder / "trial"
        home.mkdir()
        self.trial = Trial(home, text, events.send, lake=lakes[0])
        self.daemon = self.trial.daemon
        self.mirror = Daemon(home, text, lake=lakes[1].table(dark[1]) if sink == "delta" else lakes[1])

    def mirrored(self) -> int:
        """How many different events the mirror has."""
        rows = self.mirror.rows("events", "SELECT count(DISTINCT id) FROM lake")
        return rows[0][0] if rows else 0

    def metric(self, name: str, pipeline: str = "events") -> float:
        """Of the mirror; not a number while the daemon starts."""
        try:
            with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30) as page:
                text = page.read().decode()
        except OSError:
            return math.nan
        labels = re.escape(f'{{pipeline="{pipeline}",sink="mirror"}}')
        values = re.findall(rf"^watershed_{name}{labels} (\S+)$", text, re.MULTILINE)
        return float(values[0]) if values else math.nan

    def until_both(self) -> None:
        """Waits until both lakes have events, and more than now."""
        count = self.mirrored()
        self.daemon.until(lambda: self.mirrored() > count, "more events in the mirror")
        self.trial.until_more()

    def go_on_without(self) -> None:
        """Epochs pass and events come into the lake while the mirror's store is dark."""
        self.daemon.until(lambda: self.metric("sink_down") == 1, "the mirror to be down")
        before, epoch = self.mirrored(), self.daemon.epoch()
        self.daemon.until(lambda: self.daemon.epoch() >= epoch + EPOCHS, "epochs without the mirror")
        self.trial.until_more()
        assert self.metric("spilled_bytes") > 0
        with urllib.request.urlopen(f"http://{self.http}/healthz", timeout=30) as page:
            assert json.load(page) == {"status": "running"}
        assert self.mirrored() == before

    def settle(self) -> None:
        """Everything comes into both, each row once."""
        self.trial.until_counted()
        self.daemon.until(lambda: self.mirrored() >= self.trial.sent, "every event in the mirror", within=120)
        self.daemon.until(lambda: self.metric("sink_down") == self.metric("spilled_bytes") == 0, "nothing to be spilled")
        self.trial.settle()
        for pipeline in ("events", "counts"):
            lakes = [daemon.rows(pipeline, ROWS) for daemon in (self.daemon, self.mirror)]
            assert lakes[0] == lakes[1], f"{pipeline}: {len(lakes[0])} rows in the lake, {len(lakes[1])} in the mirror"

    def said(self, words: str) -> int:
        return self.daemon.log.read_text().count(words)


@pytest.fixture(
    params=[("gcs", "s3", "parquet"), ("s3", "gcs", "parquet"), ("s3", "azurite", "delta")],
    ids=["s3-dark", "gcs-dark", "azure-delta-dark"],
)
def mirrored(request, serve, tmp_path: Path):
    *kinds, sink = request.param
    steady, dark = ((kind, serve(kind)) for kind in kinds)
    with Proxy(dark[1].port) as proxy:
        made = Mirrored(tmp_path, proxy, (steady[0], steady[1].address), (dark[0], dark[1].address), sink)
        with made.trial:
            yield made
        made.mirror.close()


@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall])
def test_dark(mirrored: Mirrored, fault: Callable[[Proxy], None]):
    """One store takes no connections, or is silent; readers of the other see rows come all along."""
    mirrored.daemon.start()
    with mirrored.trial.load():
        mirrored.until_both()
        fault(mirrored.proxy)
        mirrored.go_on_without()
        mirrored.proxy.heal()
        mirrored.until_both()
    mirrored.settle()
    # The other pipeline has no rows before the end, and has not noticed.
    assert mirrored.said("the sink is down") == 1


@pytest.mark.parametrize("mirrored", [("s3", "gcs", "parquet")], ids=["gcs-refuses"], indirect=True)
def test_refused(mirrored: Mirrored):
    """One store answers that nothing may be written, and later lets the daemon in again."""
    mirrored.daemon.start()
    with mirrored.trial.load():
        mirrored.until_both()
        mirrored.store.deny("PUT", "POST", "DELETE", "abort")
        try:
            mirrored.go_on_without()
        finally:
            mirrored.store.deny()
        mirrored.until_both()
    mirrored.settle()
    assert mirrored.said("the sink is down") == 1


def test_dark_and_killed(mirrored: Mirrored):
    """The daemon is killed, too, while one store is dark, and once more while that is caught up."""
    mirrored.daemon.start()
    with mirrored.trial.load():
        mirrored.until_both()
        mirrored.proxy.refuse()
        for _ in range(3):
            mirrored.go_on_without()
            mirrored.daemon.kill()
            mirrored.daemon.start()
        mirrored.go_on_without()
        count = mirrored.mirrored()
        mirrored.proxy.heal()
        mirrored.daemon.until(lambda: mirrored.mirrored() > count, "the mirror to catch up", pause=0.01)
        mirrored.daemon.kill()
        mirrored.daemon.start()
        mirrored.until_both()
    mirrored.settle()


def test_standby(mirrored: Mirrored, tmp_path: Path):
    """A sink is dark for longer than it is waited for: another takes the rows of that time, and hands back."""
    standby = f'\n[sinks.standby]\nconnector = "parquet"\nurl = "var/standby"\n{PARTS}\n'
    mirrored.daemon.rewrite('on_outage = "spill"', 'on_outage = "spill"\nstandby = "standby"\nstandby_after = "1s"')
    path = mirrored.daemon.folder / "region.toml"
    path.write_text(path.read_text() + standby)
    with Daemon(mirrored.daemon.folder, path.read_text(), lake=Folder(tmp_path / "trial" / "var" / "standby")) as other:

        def taken() -> set[tuple]:
            return set(other.rows("events", "SELECT id FROM lake"))

        mirrored.daemon.start()
        with mirrored.trial.load():
            mirrored.until_both()
            assert not taken()
            mirrored.proxy.refuse()
            mirrored.daemon.until(taken, "rows in the standby")
            mirrored.daemon.kill()
            mirrored.daemon.start()
            count = len(taken())
            mirrored.daemon.until(lambda: len(taken()) > count, "more rows in the standby")
            mirrored.proxy.heal()
            mirrored.until_both()
            mirrored.daemon.until(lambda: mirrored.metric("sink_down") == 0, "the mirror to be back")
            mirrored.until_both()
        mirrored.trial.until_counted()
        mirrored.daemon.until(lambda: mirrored.mirrored() >= mirrored.trial.sent - len(taken()), "every event in one of both")
        mirrored.trial.settle()
        for pipeline in ("events", "counts"):
            lake, *parts = (
                daemon.rows(pipeline, ROWS) for daemon in (mirrored.daemon, mirrored.mirror, other)
            )
            assert sorted(sum(parts, [])) == lake, pipeline


def test_dark_to_the_end(mirrored: Mirrored):
    """A run ends while one store is dark, and leaves its rows to the next."""
    mirrored.daemon.start()
    with mirrored.trial.load():
        mirrored.until_both()
        mirrored.proxy.refuse()
        mirrored.go_on_without()
    mirrored.trial.until_counted()
    mirrored.daemon.stop()
    assert mirrored.said("stay in the state for the next run")
    mirrored.proxy.heal()
    mirrored.daemon.start()
    mirrored.settle()
