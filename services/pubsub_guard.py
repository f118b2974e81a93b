"""Pub/Sub at its door: TLS, and who shows which token. Google's fake lets everybody in."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from .certificates import Identity
from .ports import LOOPBACK

CALLS = 64
"""Calls at a time: a streaming pull takes one for as long as it is open."""


class PubSubGuard(grpc.GenericRpcHandler):
    """Passes calls on, bytes for bytes, for whoever shows a bearer token that is `accepted`.

    `shown` is what came in `authorization`, None where nothing did. `forbidden` is the status of every call, and what is said
    of it, if none may pass. Without an identity it does not speak TLS, and asks for no token. Also a context manager.
    """

    def __init__(self, to: str, accepted: Callable[[str], bool], identity: Identity | None = None):
        self.shown: set[str | None] = set()
        self.forbidden: tuple[grpc.StatusCode, str] | None = None
        self._accepted = accepted
        self._open = identity is None
        self._lock = threading.Lock()
        self._upstream = grpc.insecure_channel(to)
        self._server = grpc.server(ThreadPoolExecutor(CALLS), handlers=[self])
        if identity is None:
            port = self._server.add_insecure_port(f"{LOOPBACK}:0")
        else:
            pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
            port = self._server.add_secure_port(f"{LOOPBACK}:0", grpc.ssl_server_credentials([pair]))
        self.url = f"{'http' if self._open else 'https'}://{LOOPBACK}:{port}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def call(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            self._look(context)
            passed_on = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-goog")]
            answers = self._upstream.stream_stream(details.method)(requests, metadata=passed_on)
            context.add_callback(answers.cancel)
            try:
                yield from answers
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        # A call of one request and one answer is, on the wire, a stream of one each.
        return grpc.stream_stream_rpc_method_handler(call)

    def _look(self, context: grpc.ServicerContext) -> None:
        token = dict(context.invocation_metadata()).get("authorization")
        with self._lock:
            self.shown.add(token)
        if not self._open and (token is None or not self._accepted(token.removeprefix("Bearer "))):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")
        if self.forbidden:
            context.abort(*self.forbidden)

    def close(self) -> None:
        self._server.stop(None).wait()
        self._upstream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()
