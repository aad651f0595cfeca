"""Free ports for what runs on this machine only."""

import contextlib
import random
import socket


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now, below 32768: from there on outgoing connections get theirs."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)
