"""Two stand-ins for Kinesis: neither is fast and complete at once."""

import os

from .cache import Command
from .node import NodeService, modules


class Kinesalite(NodeService):
    """Shards, iterators, splits and merges, at tens of thousands of records a second. No fan-out."""

    name = "kinesalite"
    package = "kinesalite"
    ready = "Listening at"

    def command(self) -> Command:
        place = ["--port", str(self.port), "--path", self.folder / "data"]
        quick = ["--createStreamMs", "50", "--deleteStreamMs", "50", "--updateStreamMs", "50"]
        return self.node("cli.js", *place, "--shardLimit", "100", *quick)

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_KINESALITE": f"http://{self.address}"}


class KinesisLocal(NodeService):
    """Fan-out and child shards too, at a thousand records a second. Keeps nothing over a restart."""

    name = "kinesis-local"
    package = "kinesis-local"
    port_count = 2
    ready = "persist loop not started"

    def command(self) -> Command:
        return self.node("main.js")

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "KINESIS_MOCK_PLAIN_PORT": str(self.ports[0]),
            "KINESIS_MOCK_TLS_PORT": str(self.ports[1]),
            "KINESIS_MOCK_CERT_PATH": str(modules() / self.package / "server.json"),
            "LOG_LEVEL": "INFO",
            "SHARD_LIMIT": "500",
            "CREATE_STREAM_DURATION": "50ms",
            "DELETE_STREAM_DURATION": "50ms",
            "REGISTER_STREAM_CONSUMER_DURATION": "50ms",
            "SPLIT_SHARD_DURATION": "50ms",
            "MERGE_SHARDS_DURATION": "50ms",
            "UPDATE_SHARD_COUNT_DURATION": "50ms",
        }

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_KINESIS_LOCAL": f"http://{self.address}"}
