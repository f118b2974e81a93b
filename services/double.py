"""An HTTP server on loopback that answers as a test says, and keeps what it was asked."""

import json
import ssl
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from .certificates import Identity
from .ports import LOOPBACK


@dataclass(frozen=True)
class Asked:
    """A request. The path is without its query, the target has all of it as it was sent; names of headers are told apart by
    their letters alone."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as the fields of a form."""
        return dict(parse_qsl(self.body.decode()))

    @property
    def json(self) -> dict:
        """The body as a JSON object."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One without a body, to HEAD, may say itself in its headers how long that would be."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value, kind: str = "application/json") -> "Answer":
        return cls(status, json.dumps(value).encode(), {"content-type": kind})


class Double(ABC):
    """Serves until it is closed, over TLS if it is given a certificate. Also a context manager."""

    def __init__(self, identity: Identity | None = None):
        self.asked: list[Asked] = []
        self._scheme = "https" if identity else "http"
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        if identity:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(identity.certificate, identity.key)
            # The handshake is left to the thread of each connection.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @abstractmethod
    def answer(self, asked: Asked) -> Answer:
        """What to say to a request. Called by several threads at once."""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.address}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                parts = urlsplit(self.path)
                path, query = parts.path or "/", dict(parse_qsl(parts.query))
                target = f"{path}?{parts.query}" if parts.query else path
                asked = Asked(self.command, target, path, query, self.headers, body)
                outer.asked.append(asked)
                answer = outer.answer(asked)
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "content-length" not in answer.headers:
                    self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = reply

            def log_message(self, *_):
                pass

        return Handler
