"""Event Hubs over AMQP, by the hand of azure-eventhub. The double forgets, so each test has one of its own."""

import pytest

from ..proxy import Proxy
from ..tls import TlsProxy
from . import journeys
from .hub import SECRETS, reading


def test_plain(trial, hub):
    journeys.plain(trial(hub.source(), hub.send, SECRETS))


def test_killed(trial, hub):
    journeys.killed(trial(hub.source(), hub.send, SECRETS))


def test_network(trial, hub):
    with Proxy(to=hub.server.port) as proxy:
        journeys.unconnected(trial(hub.source(proxy.address), hub.send, SECRETS), proxy)


UNSURE = 'max_delay = "2s"\nidle_after = "4s"'
"""In real time, with a partition idle not before an answer about it is old."""


@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall], ids=["refused", "stalled"])
def test_outage(trial, hub, fault):
    with Proxy(to=hub.server.port) as proxy:
        waiting = trial(hub.source(proxy.address), hub.send, SECRETS, time=UNSURE)
        journeys.outage(waiting, proxy, fault)


def test_detached(trial, hub):
    journeys.disturbed(trial(hub.source(), hub.send, SECRETS), hub.server.detach, hub.server.detach)


def test_partitions_grow(trial, hub):
    growing = trial(hub.source(more='refresh = "1s"'), hub.send, SECRETS)
    growing.send(4_000)
    growing.daemon.start()
    growing.until_counted()
    hub.grow()
    growing.send(6_000)
    growing.settle()


def test_metadata(trial, hub):
    columns = '["_partition", "_offset", "_sequence", "_key", "_ingest_time", "_headers"]'
    with_columns = trial(hub.source(more=f"metadata = {columns}"), hub.send_by_key, SECRETS)
    journeys.plain(with_columns, count=400)
    rows = with_columns.daemon.rows(
        "events",
        """SELECT count(*), count(DISTINCT (_partition, _offset)), count(DISTINCT (_partition, _sequence)),
                  bool_and(_key = key), bool_and(_headers['number'] = id::VARCHAR),
                  bool_and(_ingest_time > now() - INTERVAL 1 HOUR)
           FROM lake""",
    )
    assert rows == [(400, 400, 400, True, True, True)]


def test_tls(trial, hub):
    with TlsProxy(to=hub.server.port) as proxy:
        source = hub.source(proxy.address, scheme="amqps")
        journeys.plain(trial(source, hub.send, SECRETS | {"SSL_CERT_FILE": str(proxy.ca)}), count=4_000)


def test_tls_of_a_stranger(trial, hub):
    """An authority that nobody has vouched for: the check says what to do, and a run says it too and waits."""
    with TlsProxy(to=hub.server.port) as proxy:
        suspicious = trial(hub.source(proxy.address, scheme="amqps"), hub.send, SECRETS)
        checked = suspicious.daemon.check("--connect")
        assert checked.returncode != 0 and "SSL_CERT_FILE" in checked.stderr, checked.stderr
        suspicious.daemon.start()
        suspicious.daemon.until(lambda: "SSL_CERT_FILE" in suspicious.daemon.tail(), "the daemon to say so")
        suspicious.daemon.stop()


def of_level(level: int) -> str:
    return f"owner_level = {level}"


@pytest.mark.parametrize("level", [1, 2])
def test_owner_is_shut_out(trial, hub, level):
    """A daemon of the same or a higher level takes the hub, over a state and a lake of its own. The first one ends, and
    has everything once that it had: it can take the hub back, and go on where it stood."""
    first = trial(hub.source(more=of_level(1)), hub.send, SECRETS)
    second = trial(hub.source(more=of_level(level)), hub.send, SECRETS)
    first.daemon.start()
    with first.load():
        first.until_more()
        second.daemon.start()
        assert first.daemon.wait() == 1
        assert "raise `owner_level`" in first.daemon.tail(), first.daemon.tail()
        try:
            second.until_more()
        except AssertionError:
            # Of two that are equal each shuts out the other, until one of them has ended.
            if level > 1 or second.daemon.ended() != 1:
                raise
            second.daemon.start()
            second.until_more()
    second.begin, second.sent = first.begin, first.sent
    second.until_counted()
    first.daemon.rewrite(of_level(1), of_level(3))
    first.daemon.start()
    assert second.daemon.wait() == 1
    first.settle()
    second.daemon.drain()
    second.assert_each_once()


def test_newcomer_of_a_lower_level_is_refused(trial, hub):
    owner = trial(hub.source(more=of_level(1)), hub.send, SECRETS)
    newcomer = trial(hub.source(more=of_level(0)), hub.send, SECRETS)
    owner.daemon.start()
    with owner.load():
        owner.until_more()
        newcomer.daemon.start()
        assert newcomer.daemon.wait() == 1
        assert "raise `owner_level`" in newcomer.daemon.tail(), newcomer.daemon.tail()
        owner.until_more()
    owner.settle()


def test_takeover_with_the_same_state(trial, hub):
    """Hub, state and lake go to the second daemon, however far the first one had come with its epoch."""
    taken = trial(hub.source(more=of_level(1)), hub.send, SECRETS)
    taken.daemon.start()
    with taken.load():
        for _ in range(5):
            taken.until_more()
            former, taken.daemon = taken.daemon, taken.daemon.rival()
            taken.daemon.start()
            assert former.wait() == 1
            former.close()
        taken.until_more()
    taken.settle()


def test_owner_is_shut_out_by_a_stranger(trial, hub):
    """Another program takes one partition, by its level: the daemon ends, and says why."""
    robbed = trial(hub.source(more=of_level(1)), hub.send, SECRETS)
    robbed.daemon.start()
    with robbed.load():
        robbed.until_more()
        with reading(hub.consumer(), partition_id="0", owner_level=2, starting_position="-1") as events:
            assert robbed.daemon.wait() == 1
            assert "raise `owner_level`" in robbed.daemon.tail(), robbed.daemon.tail()
            assert events.get(timeout=30).sequence_number == 0
