"""Free ports on loopback."""

import itertools
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Ports that the kernel hands out for outgoing connections are left alone: while a server restarts, a client that
# tries again and again could be given the very port it dials, and would be connected to itself.
LOWEST = 12_000


def free(count: int) -> list[int]:
    """As many different ports that nothing listens on."""
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.sample(range(LOWEST, below), k=below - LOWEST)
    ports = list(itertools.islice(filter(is_free, candidates), count))
    if len(ports) < count:
        raise RuntimeError(f"no {count} free ports between {LOWEST} and {below}")
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether a server listens there now."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
