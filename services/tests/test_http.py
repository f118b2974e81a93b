"""Records by POST. A client sends again whatever was not answered, so a key tells what comes twice."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..ports import LOOPBACK, free
from ..waiting import until
from . import journeys

TOKEN = "trial-token-8c1d"
SECRETS = {"TOKEN": TOKEN}
ONCE = 'deduplicate = { key = "id", within = "1day" }'
SOURCE = 'connector = "http"\ntoken = "${TOKEN}"'


def ndjson(events) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


class Client:
    """What sends events to the daemon, and does not give up before it is told that they are safe."""

    def __init__(self):
        (self.port,) = free(1)
        self.top = f'[http]\nlisten = "{LOOPBACK}:{self.port}"'

    def post(self, body: bytes, path: str = "/ingest/events", token: str = TOKEN) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def send(self, events) -> None:
        body = ndjson(events)

        def taken() -> bool:
            try:
                answer = self.post(body)
            except (OSError, http.client.HTTPException):
                return False
            assert answer.status in (200, 429, 503), answer.body
            return answer.status == 200

        until(taken, "a body that is taken")


@pytest.fixture
def client():
    return Client()


def test_plain(trial, client):
    pushed = trial(f"{SOURCE}\n{ONCE}", client.send, SECRETS, top=client.top)
    pushed.daemon.start()
    pushed.send(10_000)
    pushed.settle()


def test_killed(trial, client):
    journeys.killed(trial(f"{SOURCE}\n{ONCE}", client.send, SECRETS, top=client.top))


def test_answered_is_durable(trial, client):
    """Without anything that tells what comes twice: what was answered is there after a kill at that very moment."""
    pushed = trial(SOURCE, client.send, SECRETS, top=client.top)
    for _ in range(5):
        pushed.daemon.start()
        pushed.send(100)
        pushed.daemon.kill()
    pushed.daemon.start()
    rows = pushed.daemon.rows
    everything = set(range(pushed.sent))
    pushed.daemon.until(
        lambda: {number for (number,) in rows("events", "SELECT id FROM lake")} == everything, "all that was answered"
    )
    pushed.daemon.stop()


def test_refusals(trial, client):
    pushed = trial(f"{SOURCE}\n{ONCE}\nmax_body = '10kB'", client.send, SECRETS, top=client.top)
    pushed.daemon.start()
    pushed.send(10)
    assert client.post(b"{}", token="wrong").status == 401
    assert client.post(b"{}", path="/ingest/nothing").status == 404
    assert client.post(b" " * 20_000).status == 413
    pushed.settle()


def test_full_buffer(trial, client):
    """A body that finds no room is refused as a whole, with when to come again; in the end all have been taken."""
    pushed = trial(f"{SOURCE}\n{ONCE}\nmax_body = '64kB'\nbuffer = '128kB'", client.send, SECRETS, top=client.top)
    pushed.daemon.start()
    refused = []

    def send(events):
        body = ndjson(events)
        with ThreadPoolExecutor(8) as crowd:
            answers = list(crowd.map(client.post, [body] * 8))
        refused.extend(answer.headers["retry-after"] for answer in answers if answer.status == 429)
        client.send(events)

    pushed.send(500)
    pushed.sender = send
    until(lambda: pushed.send(500) or refused, "a refusal")
    assert set(refused) == {"1"}
    pushed.settle()
