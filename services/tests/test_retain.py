"""Old partitions go from every store, of plain files and of tables, and nothing else does."""

import datetime
import json
from contextlib import ExitStack
from pathlib import Path

from ..aged import Aged
from ..daemon import Daemon
from ..lakes import KINDS, Bucket
from ..service import Service
from ..trial import Growing
from .test_lake import name_of

DAY = datetime.timedelta(days=1)

COUNT = 100

REGION = """
region = "trial"
[checkpoint]
interval = "200ms"
[sources.events]
{source}
schema = {{ id = "bigint", ts = "timestamp" }}
event_time = "ts"
max_delay = "90days"
{sinks}
[pipelines.events]
sinks = {names}
sql = "SELECT id, ts FROM events"
"""

SINK = """
[sinks.{name}]
connector = "{connector}"
{keys}
partition_by = ["date"]
retain = "30d"
roll = {{ every = "1s", idle = "200ms" }}
"""


class Kept:
    """A lake at a store of some kind, once as plain files and once as a table, which the daemon finds behind a front."""

    def __init__(self, kind: str, service: Service, front: Aged, tmp_path: Path):
        def at(what: str) -> Bucket:
            return KINDS[kind](service.address, f"{name_of(tmp_path)}-{what}", tmp_path / "fetched")

        self.kind, self.front = kind, front
        self.plain, self.log = at("plain"), at("table")
        self.table = self.log.table(service.address)

    @property
    def sinks(self) -> dict[str, str]:
        """What a region file says of them, by name."""
        sinks = {}
        for connector, lake in {"parquet": self.plain, "delta": self.log}.items():
            name, keys = f"{self.kind}_{connector}", lake.keys(self.front.address)
            sinks[name] = SINK.format(name=name, connector=connector, keys=keys)
        return sinks

    def foreign(self, day: datetime.date) -> str:
        return f"{self.plain.name}/date={day}/others-1-0.parquet"

    def days(self) -> list[set[str]]:
        """The dates of what is seen of the pipeline, in the one and in the other."""
        plain = [key for key in self.plain.listed() if "/date=" in key and "/events-" in key]
        return [dates(plain), dates(map(str, self.table.files("events")))]


def dates(keys) -> set[str]:
    return {key.partition("/date=")[2].partition("/")[0] for key in keys}


def test_old_partitions_go(serve, tmp_path: Path):
    """They are there, as events came late; the next run's first sweep removes them. To it, everything is two hours old."""
    with ExitStack() as fronts:
        lakes = []
        for kind in KINDS:
            front = fronts.enter_context(Aged(serve(kind).port, by=datetime.timedelta(hours=2)))
            lakes.append(Kept(kind, serve(kind), front, tmp_path))
        old_go(lakes, tmp_path)


def old_go(lakes: list[Kept], tmp_path: Path) -> None:
    events = Growing(tmp_path)
    today = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    old = today - 40 * DAY
    folder = tmp_path / "trial"
    folder.mkdir()

    def send(first: int, moment: datetime.datetime) -> None:
        time = moment.isoformat().replace("+00:00", "Z")
        events.send([{"id": number, "ts": time} for number in range(first, first + COUNT)])

    def all_have(*moments: datetime.datetime) -> bool:
        wanted = {str(moment.date()) for moment in moments}
        return all(days == wanted for lake in lakes for days in lake.days())

    def all_have_new() -> bool:
        return all(str(today.date()) in days for lake in lakes for days in lake.days())

    sinks = {name: text for lake in lakes for name, text in lake.sinks.items()}
    region = REGION.format(source=events.source, sinks="".join(sinks.values()), names=json.dumps(list(sinks)))
    with Daemon(folder, region) as daemon:
        for lake in lakes:
            lake.plain.write(lake.foreign(old.date()), b"theirs")
        send(0, old)
        daemon.start()
        daemon.until(lambda: all_have(old), "old events in every lake")
        daemon.stop()
        # A later checkpoint shows something, so that the old files are looked for no longer.
        send(COUNT, today)
        daemon.start()
        daemon.until(all_have_new, "new events in every lake")
        daemon.stop()
        daemon.start()
        daemon.until(lambda: all_have(today), "old partitions to go")
        daemon.stop()
    for lake in lakes:
        assert lake.foreign(old.date()) in lake.plain.listed()
        rows = lake.table.open().to_pyarrow_table(columns=["id"])["id"].to_pylist()
        assert sorted(rows) == list(range(COUNT, 2 * COUNT))
