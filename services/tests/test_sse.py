"""Server-sent events, from a server that tells its own story: an id with each event, and on from any of them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ..ports import LOOPBACK
from ..proxy import Proxy
from . import journeys

TOKEN = "trial-token-27b0"
SECRETS = {"TOKEN": TOKEN}


class Feed:
    """Keeps all events; a client that names the last one it saw gets those after it."""

    def __init__(self):
        self._events: list[dict] = []
        self._changed = threading.Condition()
        self._over = False
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def source(self, port: int | None = None, more: str = "") -> str:
        url = f"http://{LOOPBACK}:{port or self.port}/events"
        return f'connector = "sse"\nurl = "{url}"\ntoken = "${{TOKEN}}"\n{more}'

    def send(self, events) -> None:
        with self._changed:
            self._events += events
            self._changed.notify_all()

    def after(self, number: int) -> dict | None:
        """The event after that one, once there is one; none when the feed closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or number + 1 < len(self._events))
            return None if self._over else self._events[number + 1]

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                allowed = self.headers.get("authorization") == f"Bearer {TOKEN}"
                self.send_response_only(200 if allowed else 401)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                if allowed:
                    self.tell(int(self.headers.get("last-event-id", -1)))

            def tell(self, last: int):
                try:
                    self.wfile.write(b"retry: 100\n\n")
                    while event := feed.after(last):
                        last = event["id"]
                        self.wfile.write(f"id: {last}\nevent: order\ndata: {json.dumps(event)}\n\n".encode())
                except OSError:
                    pass  # The client has gone, and will be back.

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture
def feed():
    made = Feed()
    yield made
    made.close()


def test_plain(trial, feed):
    journeys.plain(trial(feed.source(), feed.send, SECRETS), count=10_000)


def test_killed(trial, feed):
    journeys.killed(trial(feed.source(), feed.send, SECRETS))


def test_network(trial, feed):
    with Proxy(to=feed.port) as proxy:
        journeys.unconnected(trial(feed.source(proxy.port), feed.send, SECRETS), proxy)


def test_metadata(trial, feed):
    told = trial(feed.source(more='metadata = ["_id", "_event", "_ingest_time"]'), feed.send, SECRETS)
    journeys.plain(told, count=1_000)
    query = "SELECT count(*), bool_and(_id = id::VARCHAR), bool_and(_event = 'order') FROM lake"
    assert told.daemon.rows("events", query) == [(1_000, True, True)]
