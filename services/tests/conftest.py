"""Services for as long as the tests need them, and a trial for each test."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..__main__ import ALL
from ..daemon import program
from ..eventhubs import EventHubs
from ..lakes import Lake
from ..readers.spark import session
from ..service import Service
from ..trial import Send, Trial, region
from .hub import Hub


def pytest_report_header() -> list[str]:
    services = [f"{kind.name}: {kind.version()}" for kind in ALL.values()]
    return [f"watershed: {program()}", f"services: {', '.join(services)}"]


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], Service]]:
    """Gives a service by its name, started when it is first asked for."""
    with ExitStack() as running:
        started: dict[str, Service] = {}

        def start(name: str) -> Service:
            if name not in started:
                started[name] = running.enter_context(ALL[name]())
            return started[name]

        yield start


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """One for all tests: a process has one JVM, and that has the jars which it began with."""
    made = session(tmp_path_factory.mktemp("spark"))
    yield made
    made.stop()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of its own for each test: the double forgets."""
    with EventHubs() as server:
        made = Hub(server)
        yield made
        made.close()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Makes a trial from the keys of a source and a way to send events to it."""
    with ExitStack() as running:

        def make(
            source: str,
            send: Send,
            environment: dict[str, str] | None = None,
            store: Lake | None = None,
            **parts: str,
        ) -> Trial:
            folder = tmp_path / f"trial-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return running.enter_context(Trial(folder, region(source, **parts), send, environment, store))

        yield make
    shutil.rmtree(tmp_path)
