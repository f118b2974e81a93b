"""The services themselves: they end with whoever started them, and come back as they were."""

import re
import subprocess
import sys

import pytest

from ..cache import HERE
from ..kinesis import Kinesalite
from ..ports import answers
from ..pubsub import PubSubLoad
from ..waiting import until
from .test_kinesis import Stream

SCRIPT = HERE.parent / "scripts" / "services"


def test_run_gives_the_exit_code_of_its_command():
    command = [sys.executable, "-c", "import os, sys; sys.exit('WATERSHED_KINESALITE' in os.environ and 7)"]
    assert subprocess.run([SCRIPT, "run", "kinesalite", "--", *command]).returncode == 7


def test_up_ends_with_its_input():
    with subprocess.Popen([SCRIPT, "up", "kinesalite"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as up:
        port = int(re.search(r":(\d+)$", up.stdout.readline())[1])
        assert answers(port)
        up.stdin.close()
        assert up.wait(30) == 0
        assert not answers(port)


def test_services_die_with_a_runner_that_is_killed():
    with subprocess.Popen([SCRIPT, "up", "kinesalite"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as up:
        port = int(re.search(r":(\d+)$", up.stdout.readline())[1])
        up.kill()
        until(lambda: not answers(port), "the end of kinesalite")


def test_data_outlive_a_kill():
    with Kinesalite() as server:
        Stream.make(server.address, "kept", 2)
        port, pid = server.port, server.pid
        server.kill()
        server.start()
        assert server.port == port and server.pid != pid
        assert len(Stream(server.address, "kept").open_shards()) == 2


def test_a_server_that_cannot_start_says_why():
    with PubSubLoad() as server, pytest.raises(RuntimeError, match="address already in use"):
        second = PubSubLoad()
        second.ports = server.ports
        second.start()
    second.close()
