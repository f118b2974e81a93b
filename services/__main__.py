"""The command line of the services."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from .azurite import Azurite
from .cache import HERE
from .dynamodb import DynamoDb
from .eventhubs import EventHubs
from .gcs import Gcs
from .kafka import Kafka
from .kinesis import Kinesalite, KinesisLocal
from .postgres import Postgres
from .pubsub import PubSub, PubSubLoad
from .python import python
from .registry import Registry
from .s3 import S3
from .service import Service

ALL: dict[str, type[Service]] = {
    kind.name: kind
    for kind in (
        Kafka,
        Registry,
        Kinesalite,
        KinesisLocal,
        DynamoDb,
        S3,
        Azurite,
        Gcs,
        PubSub,
        PubSubLoad,
        EventHubs,
        Postgres,
    )
}


@contextlib.contextmanager
def serving(kinds: list[type[Service]]) -> Iterator[dict[str, str]]:
    """Runs services, all of them coming up at the same time; gives the variables that tell where they are."""
    with contextlib.ExitStack() as running:
        services = []
        for kind in kinds:
            service = kind()
            running.callback(service.close)
            service.launch()
            services.append(service)
        variables: dict[str, str] = {}
        for service in services:
            service.wait_ready()
            variables |= service.variables()
            print(f"{service.name:14} {service.version():44} {service.address}", file=sys.stderr, flush=True)
        yield variables


def run(kinds: list[type[Service]], command: list[str]) -> int:
    """Runs a command beside the services; gives its exit code as a shell would."""
    with serving(kinds) as variables:
        guarded = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        process = subprocess.Popen(guarded, env=os.environ | variables)
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        return code if code >= 0 else 128 - code


def up(kinds: list[type[Service]]) -> int:
    """Keeps the services until standard input closes or a signal comes."""
    with serving(kinds) as variables:
        for name, value in variables.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


def test(arguments: list[str]) -> int:
    """Runs the suite, which starts the services it wants by itself."""
    command = [python(), "-m", "pytest", "-c", HERE / "pytest.ini", "--rootdir", HERE.parent, *arguments]
    return subprocess.run(command, cwd=HERE.parent, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}).returncode


def install(kinds: list[type[Service]]) -> int:
    for kind in kinds:
        kind.install()
        print(f"{kind.name:14} {kind.version()}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="services", description="Real servers on loopback, for tests to run against.")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="names them")
    listed.add_argument("--here", action="store_true", help="only those that can be run here")
    named: dict[str, Any] = {"nargs": "*", "metavar": "NAME", "help": "one of `services list`; all if none is named"}
    commands.add_parser("install", help="installs what is missing").add_argument("names", **named)
    commands.add_parser("up", help="keeps them until standard input closes").add_argument("names", **named)
    run_beside = "runs a command beside them: run [NAME...] -- COMMAND..."
    commands.add_parser("run", help=run_beside).add_argument("names", **named)
    commands.add_parser("readers", help="asks everybody who reads lakes, and writes docs/readers.md")
    commands.add_parser("test", help="runs services/tests: test [PYTEST ARGUMENTS...]")
    options = parser.parse_args(arguments)
    for name in getattr(options, "names", []):
        if name not in ALL:
            parser.error(f"there is no service {name}; there are {', '.join(ALL)}")
    return options


def available() -> list[type[Service]]:
    """All services but the one that has to be built with the rest of the workspace, if it has not been, and the one that is
    not ours to install, where it is not."""
    lacking = [EventHubs] * (not EventHubs.program().exists()) + [Postgres] * (Postgres.binaries() is None)
    return [kind for kind in ALL.values() if kind not in lacking]


def end_on_signal(*_) -> None:
    sys.exit(128 + signal.SIGTERM)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["test"]:
        return test(arguments[1:])
    own, command = arguments, []
    if "--" in arguments:
        own, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    options = parse(own)
    if options.command == "list":
        print(*([kind.name for kind in available()] if options.here else ALL), sep="\n")
        return 0
    if options.command == "readers":
        return subprocess.run([python(), "-m", "services.readers"], cwd=HERE.parent).returncode
    if options.command == "run" and not command:
        sys.exit("services: run wants a command after --")
    kinds = [ALL[name] for name in options.names] or available()
    signal.signal(signal.SIGTERM, end_on_signal)
    try:
        if options.command == "install":
            return install(kinds)
        if options.command == "up":
            return up(kinds)
        return run(kinds, command)
    except RuntimeError as error:
        sys.exit(f"services: {error}")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
