"""Server-sent events, from a server that has them ready to be written."""

import multiprocessing
import socket
from types import SimpleNamespace

from ..ports import LOOPBACK
from .stream import Stream

PIECE = 256 * 1024


def serve(listener: socket.socket, pieces: list[bytes]) -> None:
    """Writes all events to whoever asks, and then holds the connection."""
    held = []
    while True:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            connection.sendall(piece)
        held.append(connection)


class EventStream(Stream):
    name = "sse"

    def server(self) -> None:
        return None

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        events = b"".join(b"id: %d\ndata: %s\n\n" % (number, record) for number, record in enumerate(records))
        cut = [events[start : start + PIECE] for start in range(0, len(events), PIECE)]
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut]
        self._size = sum(map(len, pieces))
        listener = socket.create_server((LOOPBACK, 0))
        self._port = listener.getsockname()[1]
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listener, pieces), daemon=True)
        process.start()
        listener.close()
        self._open.callback(process.join)
        self._open.callback(process.kill)
        self.running = SimpleNamespace(pid=process.pid)

    def source(self) -> str:
        return f'connector = "sse"\nurl = "http://{LOOPBACK}:{self._port}/events"'

    def bare(self) -> int:
        """A socket that is read, and nothing done with it."""
        with socket.create_connection((LOOPBACK, self._port)) as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\nhost: bench\r\n\r\n")
            seen = 0
            while seen < self._size:
                seen += len(connection.recv(PIECE))
        return len(self.records)
