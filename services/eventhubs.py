"""Our double of Event Hubs over AMQP: no other server speaks its `$cbs` and `$management`.

It is the cargo package `watershed-eventhubs-double` of this workspace, and built before it is used here.
"""

import os
import signal
from pathlib import Path

from . import cache
from .cache import Command
from .service import Service

HUB = "hub"
PARTITIONS = 4


class EventHubs(Service):
    name = "eventhubs"
    ready = "^ready "

    fails_each: int | None = None
    """One of so many messages is not confirmed, whether it was taken or not."""

    @classmethod
    def program(cls) -> Path:
        given = os.environ.get("WATERSHED_EVENTHUBS_DOUBLE")
        target = Path(os.environ.get("CARGO_TARGET_DIR") or cache.root().parent / "target")
        return Path(given) if given else target / "release" / "watershed-eventhubs-double"

    @classmethod
    def install(cls) -> None:
        if not cls.program().exists():
            build = "cargo build --release --package watershed-eventhubs-double"
            raise RuntimeError(f"{cls.program()} is missing: build it with `{build}`")

    @classmethod
    def version(cls) -> str:
        return "watershed-eventhubs-double"

    def command(self) -> Command:
        faults = [] if self.fails_each is None else [str(self.fails_each)]
        return [self.program(), self.address, str(PARTITIONS), str(self._tokens), *faults]

    @property
    def _tokens(self) -> Path:
        return self.folder / "tokens.txt"

    def tokens(self) -> set[tuple[str, str]]:
        """What clients have shown to be let in: types of tokens, and the tokens."""
        return {tuple(line.split(" ", 1)) for line in self._tokens.read_text().splitlines()}

    def grow(self) -> None:
        """Adds two partitions."""
        os.kill(self.pid, signal.SIGUSR1)

    def detach(self) -> None:
        """Takes its link from every receiver."""
        os.kill(self.pid, signal.SIGUSR2)

    def detach_senders(self) -> None:
        """Takes its link from every sender."""
        os.kill(self.pid, signal.SIGHUP)

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_EVENTHUBS": f"amqp://{self.address}"}
