"""Rows that leave as events of a hub: each at least once, and once for readers that know them by their id, whatever dies.

What is read is read by Microsoft's azure-eventhub. The double forgets, so each test has one of its own.
"""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ..eventhubs import EventHubs
from ..proxy import Proxy
from ..tls import TlsProxy
from ..trial import Trial
from . import journeys
from .hub import NAMESPACE, SECRETS, Hub
from .test_kinesis import Stream
from .test_outputs import KILLS, assert_each_once, leaving, sent_out  # noqa: F401

KEY = 'key = "key"'


@pytest.fixture
def windows(leaving):  # noqa: F811
    """Makes a trial of which all rows and all windows go to a hub, too."""

    def prepared(sink: str, secrets: dict[str, str] = SECRETS) -> Trial:
        return with_windows(leaving(sink, secrets))

    return prepared


def with_windows(trial: Trial) -> Trial:
    trial.daemon.rewrite("sink = \"lake\"\nsql = '''", "sinks = [\"lake\", \"out\"]\nsql = '''")
    return trial


@pytest.fixture
def failing() -> Iterator[Hub]:
    """A hub that does not confirm one of five messages, though it takes every third of these."""
    server = EventHubs()
    server.fails_each = 5
    with server:
        made = Hub(server)
        yield made
        made.close()


@dataclass
class Came:
    """An event that came, once or more often."""

    row: dict
    key: str | None
    times: int


@dataclass
class Arrived:
    """What a hub has of a trial, by the sink's name for a pipeline's rows."""

    events: dict[str, Came]
    counts: dict[str, Came]

    @property
    def repeated(self) -> int:
        return sum(came.times - 1 for came in [*self.events.values(), *self.counts.values()])


def arrived(hub: Hub) -> Arrived:
    """Everything by its id; a repetition is the same in every byte, and, where there is a key, in the same partition. Rows of a
    key that come for the first time are in their order."""
    found = {"events": {}, "counts": {}}
    first: dict[str, tuple[str | None, str, bytes | None]] = {}
    numbers: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for partition, event in hub.events():
        name, body = event.message_id, event.body_as_str()
        assert event.properties[b"idempotency-key"].decode() == name
        assert event.content_type == "application/json"
        same = (partition if event.partition_key else None, body, event.partition_key)
        assert first.setdefault(name, same) == same, name
        region, pipeline, sink, epoch, row, _digest = name.split("/")
        assert (region, sink) == ("trial", "out")
        known = found[pipeline].get(name)
        if known is not None:
            known.times += 1
            continue
        key = event.partition_key.decode() if event.partition_key else None
        found[pipeline][name] = Came(json.loads(body), key, 1)
        if key is not None:
            numbers.setdefault((pipeline, key), []).append((int(epoch), int(row)))
    for place, order in numbers.items():
        assert order == sorted(order), f"out of order: {place}"
    return Arrived(**found)


def assert_whole(trial: Trial, hub: Hub, keyed: bool = True) -> Arrived:
    """Every row and every window is there, once by its id, as it is in the lake."""
    found = arrived(hub)
    assert_each_once(trial, [came.row for came in found.events.values()])
    for came in [*found.events.values(), *found.counts.values()]:
        assert came.key == (came.row["key"] if keyed else None)
    wanted = trial.daemon.rows("counts", "SELECT epoch_ms(window_start), key, events::BIGINT, amount FROM lake")
    assert sorted(window(came.row) for came in found.counts.values()) == sorted(wanted)
    return found


def window(row: dict) -> tuple[int, str, int, float]:
    start = datetime.datetime.fromisoformat(row["window_start"])
    return round(start.timestamp() * 1000), row["key"], row["events"], row["amount"]


def test_plain(windows, hub):
    trial = windows(hub.sink(more=KEY))
    journeys.plain(trial, count=4_000)
    assert_whole(trial, hub)
    assert len({partition for partition, _ in hub.events()}) > 1, "all keys in one partition"


def test_without_a_key(windows, hub):
    trial = windows(hub.sink())
    journeys.plain(trial, count=4_000)
    assert_whole(trial, hub, keyed=False)


def test_killed(windows, hub):
    trial = windows(hub.sink(more=KEY))
    journeys.killed(trial, KILLS)
    assert_whole(trial, hub)


def test_killed_while_the_hub_fails(windows, failing):
    """Rows wait for later epochs, too, and some of them are on their way whenever the daemon dies."""
    trial = windows(failing.sink(more=f"{KEY}\nmax_epoch_bytes = 10_000"))
    journeys.killed(trial, KILLS)
    found = assert_whole(trial, failing)
    assert found.repeated > 0, "nothing was repeated, so nothing was shown"


def test_the_verdict_sees_a_reader_that_counts_repetitions(windows, failing):
    """Proof of the proof: rows come again, and only the id tells."""
    trial = windows(failing.sink(more=KEY))
    journeys.plain(trial, count=2_000)
    assert_whole(trial, failing)
    every = [json.loads(event.body_as_str()) for _, event in failing.events() if "/events/" in event.message_id]
    with pytest.raises(AssertionError, match=r"0 missing: \[\]; [1-9]\d* doubled"):
        assert_each_once(trial, every)


def test_network(windows, hub):
    with Proxy(to=hub.server.port) as proxy:
        trial = windows(hub.sink(proxy.address, KEY))
        journeys.unconnected(trial, proxy)
    assert_whole(trial, hub)


def test_detached(windows, hub):
    trial = windows(hub.sink(more=KEY))
    journeys.disturbed(trial, hub.server.detach_senders, hub.server.detach_senders)
    assert_whole(trial, hub)


def test_zombie(windows, hub):
    """A daemon that was stopped in its tracks wakes up when another has gone on: what it sends, it sends again."""
    trial = windows(hub.sink(more=KEY))
    journeys.zombie(trial)
    assert_whole(trial, hub)


def test_encrypted(windows, hub):
    with TlsProxy(to=hub.server.port) as proxy:
        sink = hub.sink(proxy.address, KEY, scheme="amqps")
        trial = windows(sink, SECRETS | {"SSL_CERT_FILE": str(proxy.ca)})
        journeys.plain(trial, count=1_000)
        stranger = windows(sink).daemon.check("--connect")
    assert_whole(trial, hub)
    assert stranger.returncode != 0 and "SSL_CERT_FILE" in stranger.stderr, stranger


def test_from_another_cloud(trial, serve, hub, request):
    """What comes from Kinesis leaves to Event Hubs, through kills."""
    stream = Stream.make(serve("kinesalite").address, request.node.name, 2)
    crossing = trial(stream.source(), stream.send, SECRETS, top=f"[sinks.out]\n{hub.sink(more=KEY)}")
    sent_out(crossing)
    with_windows(crossing)
    with crossing.load():
        journeys.kill(crossing, kills=4)
        crossing.daemon.start()
        crossing.until_more()
    crossing.settle()
    found = arrived(hub)
    assert sorted(came.row["id"] for came in found.events.values()) == list(range(crossing.sent))
    assert sum(came.row["events"] for came in found.counts.values()) == crossing.sent


def test_checked(windows, hub):
    right = windows(hub.sink(more=KEY)).daemon.check("--connect")
    assert right.returncode == 0 and "event hub localhost/hub takes events of up to 1048576 bytes" in right.stdout, right
    assert hub.newest() == {name: -1 for name in hub.newest()}, "a check sends nothing"

    def refused(sink: str, *options: str) -> str:
        said = windows(sink).daemon.check(*options)
        assert said.returncode == 2 and SECRETS["KEY"] not in said.stdout + said.stderr, said
        return said.stderr

    told = refused(hub.sink(policy="receiver"), "--connect")
    assert "Azure Event Hubs Data Sender" in told and "claim Send" in told, told
    told = refused(hub.sink(policy="refused"), "--connect")
    assert "lets nobody in with these credentials" in told, told
    told = refused(hub.sink().replace('hub = "hub"', 'hub = "elsewhere"'), "--connect")
    assert f"event hub {NAMESPACE}/elsewhere is not there" in told, told
    told = refused(hub.sink(more='key = "kez"'))
    assert '`key` names "kez", which is no column' in told, told


def test_row_too_large(windows, hub):
    """What the hub does not take is told, with what to do, and nothing of the row is sent."""
    trial = windows(hub.sink())
    whole = trial.sender
    trial.sender = lambda events: whole([event | {"key": "k" * 1_100_000} for event in events])
    trial.send(1)
    trial.daemon.start()
    trial.daemon.until(lambda: "a row is larger than is taken" in trial.daemon.tail(), "what to do")
    assert set(hub.newest().values()) == {-1}


def test_long_key(windows, hub):
    """A partition key is no longer than 128 characters: the column is named, and nothing is cut off in silence."""
    trial = windows(hub.sink(more=KEY))
    whole = trial.sender
    trial.sender = lambda events: whole([event | {"key": "k" * 129} for event in events])
    trial.send(1)
    trial.daemon.start()
    trial.daemon.until(lambda: "choose another column as `key`" in trial.daemon.tail(), "what to do")
