"""A front before a stand-in of a cloud: it passes calls on, and answers some of them itself."""

import http.client
import threading
from abc import abstractmethod

from .double import Answer, Asked, Double
from .ports import LOOPBACK

NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length"}


def operation(asked: Asked) -> str:
    """What is asked for, such as `GetRecords`."""
    return asked.headers.get("x-amz-target", "").rpartition(".")[2]


def error(code: str, message: str, status: int = 400) -> Answer:
    """An error as AWS tells it."""
    return Answer.json(status, {"__type": code, "message": message}, "application/x-amz-json-1.1")


class Front(Double):
    def __init__(self, to: int):
        self._to = to
        # A connection has a thread of its own, and one to pass its calls on.
        self._local = threading.local()
        super().__init__()

    @abstractmethod
    def refuse(self, asked: Asked) -> Answer | None:
        """The error of this call, if it is to have one."""

    def answer(self, asked: Asked) -> Answer:
        return self.refuse(asked) or self.pass_on(asked)

    def pass_on(self, asked: Asked) -> Answer:
        """What the stand-in says."""
        if not hasattr(self._local, "upstream"):
            self._local.upstream = http.client.HTTPConnection(LOOPBACK, self._to)
        upstream = self._local.upstream
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in NOT_PASSED_ON}

        def ask() -> http.client.HTTPResponse:
            upstream.request(asked.method, asked.target, asked.body or None, headers)
            return upstream.getresponse()

        try:
            response = ask()
        except http.client.RemoteDisconnected:
            # It was kept for too long.
            response = ask()
        body, length = response.read(), response.getheader("content-length")
        headers = {name: value for name, value in response.getheaders() if name.lower() not in NOT_PASSED_ON}
        if asked.method == "HEAD" and length is not None:
            headers["content-length"] = length
        return Answer(response.status, body, headers)
