"""Records that clients push over HTTP: the program is the server, and the clients are the other end."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..ports import LOOPBACK
from .stream import Stream

BATCH = 5_000
"""Records of a body: a megabyte of orders."""
CLIENTS = 16


class PushStream(Stream):
    def __init__(self, ack: str):
        super().__init__()
        self.name = f"http, {ack}"
        self._ack = ack

    def server(self) -> None:
        return None

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        self._bodies = [b"\n".join(records[start : start + BATCH]) for start in range(0, len(records), BATCH)]

    def source(self) -> str:
        return f'connector = "http"\nack = "{self._ack}"'

    def push(self, port: int) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda number: self._send(port, self._bodies[number::CLIENTS]), range(CLIENTS)))

    def _send(self, port: int, bodies: list[bytes]) -> None:
        """One connection, which sends a body again until it is taken."""
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        for body in bodies:
            while True:
                try:
                    connection.request("POST", "/ingest/orders", body, {"content-type": "application/x-ndjson"})
                    answer = connection.getresponse()
                    answer.read()
                except OSError:
                    # Not there yet.
                    connection.close()
                    time.sleep(0.01)
                    continue
                if answer.status in (200, 202):
                    break
                assert answer.status in (429, 503), answer.status
                time.sleep(0.01)
        connection.close()

    def bare(self) -> int:
        """The same clients, to a server that reads the bodies and does nothing with them."""
        with Server((LOOPBACK, 0), Sink) as sink:
            serving = threading.Thread(target=sink.serve_forever, args=(0.05,))
            serving.start()
            self.push(sink.server_port)
            sink.shutdown()
            serving.join()
        return len(self.records)


class Server(ThreadingHTTPServer):
    request_queue_size = CLIENTS
    """Who finds no place in the queue comes again after a second."""


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response_only(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass
