"""A Kinesis that has its bad moments: no stand-in throttles, or lets iterators expire."""

import http.client
import json
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .ports import LOOPBACK

FAULTS = {
    "ProvisionedThroughputExceededException": (400, {"GetRecords", "GetShardIterator"}),
    "ExpiredIteratorException": (400, {"GetRecords"}),
    "LimitExceededException": (400, {"ListShards", "DescribeStreamSummary"}),
    "InternalFailure": (500, {"GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"}),
}
"""What may go wrong, with which status, in which calls."""

NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length"}


class FaultyKinesis:
    """Passes calls on, but answers a share of them, drawn from a seed, with an error of Kinesis."""

    def __init__(self, to: int, share: float, seed: int = 1):
        self.injected: Counter[str] = Counter()
        self._to = to
        self._share = share
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._server.server_port}"

    def draw(self, operation: str) -> str | None:
        """The fault of this call, if it is to have one."""
        with self._lock:
            possible = [fault for fault, (_, operations) in FAULTS.items() if operation in operations]
            if not possible or self._chance.random() >= self._share:
                return None
            fault = self._chance.choice(possible)
            self.injected[fault] += 1
            return fault

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

            def setup(self):
                super().setup()
                self.upstream = http.client.HTTPConnection(LOOPBACK, outer._to)

            def finish(self):
                self.upstream.close()
                super().finish()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fault = outer.draw(self.headers.get("x-amz-target", "").rpartition(".")[2])
                if fault:
                    status, _ = FAULTS[fault]
                    answer = json.dumps({"__type": fault, "message": "a bad moment"}).encode()
                    self.answer(status, {"content-type": "application/x-amz-json-1.1"}, answer)
                    return
                self.upstream.request("POST", self.path, body, dict(self.headers))
                response = self.upstream.getresponse()
                self.answer(response.status, dict(response.getheaders()), response.read())

            def answer(self, status: int, headers: dict[str, str], body: bytes):
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in NOT_PASSED_ON:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
