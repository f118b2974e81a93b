"""A trial: events that can be told apart go in, the daemon suffers, and each of them has to come out once.

Two pipelines see every event. `events` has no window: its rows name the events that were taken. `counts` counts them by
window, over state that outlives every crash: its windows stay open until the end, when they are drained.
"""

import datetime
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .daemon import Daemon
from .lakes import Lake

Event = dict[str, Any]
Send = Callable[[list[Event]], None]

STEP = datetime.timedelta(milliseconds=10)
KEYS = 97
WINDOW = 2_000  # milliseconds

BATCH = 500
"""Events that are sent at a time, at most."""

RATE = 1_000
TICK = 0.1
"""Events a second of a load, and how often some of them are sent: enough to be in the middle of something always."""

SCHEMA = 'schema = { id = "bigint", ts = "timestamp", key = "string", amount = "double" }'

REGION = """\
region = "trial"
memory = "500MB"
{top}

[checkpoint]
interval = "200ms"
{state}

[sources.events]
{source}
{schema}
event_time = "ts"
{time}

[sinks.lake]
connector = "{sink}"
{lake}
partition_by = ["region"]
roll = {{ size = "16MB", every = "1s", idle = "200ms" }}

[pipelines.events]
sink = "lake"
sql = "SELECT * FROM events"

[pipelines.counts]
sink = "lake"
sql = '''
    SELECT window_start, key, count(*) AS events, sum(amount) AS amount
    FROM tumble(events, INTERVAL '2 seconds')
    GROUP BY window_start, key'''
"""


LOCAL = 'url = "var/lake"'


def region(
    source: str,
    schema: str = SCHEMA,
    time: str = 'max_delay = "1day"',
    top: str = "",
    state: str = "",
    lake: str = LOCAL,
    sink: str = "parquet",
) -> str:
    """A region file around the keys of a source."""
    return REGION.format(source=source.strip(), schema=schema, time=time, top=top, state=state, lake=lake, sink=sink)


def make(number: int, begin: datetime.datetime) -> Event:
    """The event of that number, in a stream that began then."""
    time = (begin + number * STEP).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": number, "ts": time, "key": f"key-{number % KEYS}", "amount": float(number % 1000)}


class Growing:
    """A file that grows by the events that are sent to it, and is followed."""

    def __init__(self, folder: Path):
        self._path = folder / "events.ndjson"
        self._path.touch()

    @property
    def source(self) -> str:
        """The keys of the source that follows it."""
        return f'connector = "file"\npath = "{self._path}"\nfollow = true'

    def send(self, events: list[Event]) -> None:
        with open(self._path, "a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)


class Trial:
    """A daemon, and the events that were sent to it."""

    def __init__(
        self,
        folder: Path,
        region: str,
        send: Send,
        environment: dict[str, str] | None = None,
        lake: Lake | None = None,
    ):
        self.daemon = Daemon(folder, region, environment, lake)
        self.sent = 0
        self.sender = send
        # Close to the clock: the watermark follows that one where nothing comes.
        self.begin = datetime.datetime.now(datetime.UTC).replace(microsecond=0)

    def send(self, count: int) -> None:
        first, self.sent = self.sent, self.sent + count
        events = [make(number, self.begin) for number in range(first, self.sent)]
        for start in range(0, count, BATCH):
            self.sender(events[start : start + BATCH])

    @contextmanager
    def load(self, rate: int = RATE) -> Iterator[None]:
        """Sends about so many events a second for as long as the body goes on."""
        failures: list[BaseException] = []
        over = threading.Event()

        def send() -> None:
            try:
                while not over.wait(TICK):
                    self.send(round(rate * TICK))
            except BaseException as failure:
                failures.append(failure)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            yield
            over.set()
            sender.join()
        finally:
            # If the body failed, that is the news: whatever the sender still waits for may never come.
            over.set()
        if failures:
            raise failures[0]

    def counted(self) -> int:
        """How many different events can be seen in the lake."""
        rows = self.daemon.rows("events", "SELECT count(DISTINCT id) FROM lake")
        return rows[0][0] if rows else 0

    def until_counted(self, count: int | None = None, within: float = 60) -> None:
        """Waits until so many events are in the lake; all that were sent, if none is named."""
        wanted = self.sent if count is None else count
        try:
            self.daemon.until(lambda: self.counted() >= wanted, f"{wanted} events in the lake", within, pause=0.2)
        except AssertionError as error:
            raise AssertionError(f"{self.counted()} events are there\n{error}") from None

    def until_more(self) -> None:
        """Waits until more events are in the lake than now."""
        self.until_counted(self.counted() + 1)

    def settle(self, within: float = 60) -> dict[str, Any]:
        """Waits for all events, ends the run and its windows, and looks at every one of them; gives the report."""
        self.until_counted(within=within)
        report = self.daemon.stop()
        self.daemon.drain()
        self.assert_each_once()
        return report

    def assert_each_once(self, *others: Daemon) -> None:
        """Each event is in the lake once, or in one of the lakes, where `others` have shared the work."""
        daemons = [self.daemon, *others]
        seen = Counter(number for daemon in daemons for (number,) in daemon.rows("events", "SELECT id FROM lake"))
        missing = [number for number in range(self.sent) if number not in seen]
        doubled = [number for number, times in seen.items() if times > 1]
        strange = [number for number in seen if not 0 <= number < self.sent]
        told = {"missing": missing, "doubled": doubled, "never sent": strange}
        wrong = [f"{len(ids)} {what}, such as {ids[:5]}" for what, ids in told.items() if ids]
        assert not wrong, f"of {self.sent} events: {'; '.join(wrong)}"
        self._assert_windows(daemons)

    def _assert_windows(self, daemons: list[Daemon]) -> None:
        windows = "SELECT epoch_ms(window_start), key, sum(events)::BIGINT, sum(amount) FROM lake GROUP BY ALL"
        wanted: dict[tuple[int, str], list[float]] = {}
        for number in range(self.sent):
            event = make(number, self.begin)
            milliseconds = round((self.begin + number * STEP).timestamp() * 1000)
            count = wanted.setdefault((milliseconds // WINDOW * WINDOW, event["key"]), [0, 0.0])
            count[0] += 1
            count[1] += event["amount"]
        expected = [(*group, *counts) for group, counts in sorted(wanted.items())]
        sums: dict[tuple[int, str], list[float]] = {}
        for start, key, events, amount in (row for daemon in daemons for row in daemon.rows("counts", windows)):
            count = sums.setdefault((start, key), [0, 0.0])
            count[0] += events
            count[1] += amount
        got = [(*group, *counts) for group, counts in sorted(sums.items())]
        differences = itertools.islice((pair for pair in itertools.zip_longest(got, expected) if pair[0] != pair[1]), 3)
        assert got == expected, f"windows that are wrong (got, expected): {list(differences)}"

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.daemon.close()
