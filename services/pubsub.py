"""Two servers for Pub/Sub: Google's own fake for the protocol, and ours for load. Both forget everything."""

import re
from pathlib import Path

from .cache import HERE, Command, execute, installed
from .service import Service

SOURCES = HERE / "pubsub_servers"


def programs() -> Path:
    """The folder of both, built."""

    def install(folder: Path) -> None:
        execute(["go", "build", "-o", f"{folder}/", "./..."], SOURCES)

    described_by = [SOURCES / "go.mod", SOURCES / "go.sum", *sorted(SOURCES.glob("**/*.go"))]
    return installed("pubsub", described_by, install)


class GoService(Service):
    """Speaks gRPC on its first port and the administrators' HTTP/JSON on its second."""

    program: str
    port_count = 2
    ready = "^ready"

    @classmethod
    def install(cls) -> None:
        programs()

    def command(self) -> Command:
        grpc, rest = self.ports
        return [programs() / self.program, "-grpc", f"127.0.0.1:{grpc}", "-rest", f"127.0.0.1:{rest}"]


class PubSub(GoService):
    name = "pubsub"
    program = "fake"

    @classmethod
    def version(cls) -> str:
        (number,) = re.findall(r"cloud.google.com/go/pubsub/v2 v(\S+)", (SOURCES / "go.mod").read_text())
        return f"pstest of cloud.google.com/go/pubsub {number}"

    def variables(self) -> dict[str, str]:
        grpc, rest = self.ports
        return {"WATERSHED_PUBSUB": f"http://127.0.0.1:{grpc}", "WATERSHED_PUBSUB_REST": f"http://127.0.0.1:{rest}"}


class PubSubLoad(GoService):
    name = "pubsub-load"
    program = "load"

    @classmethod
    def version(cls) -> str:
        return "our load server"

    def variables(self) -> dict[str, str]:
        grpc, rest = self.ports
        return {
            "WATERSHED_PUBSUB_LOAD": f"http://127.0.0.1:{grpc}",
            "WATERSHED_PUBSUB_LOAD_REST": f"http://127.0.0.1:{rest}",
        }
