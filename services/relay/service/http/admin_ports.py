"""Notes in Redis where the admin ports of running services are: relay.toml may have changed since."""

import asyncio
import contextlib
import socket
import time

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import ADMIN_PORTS
from services.relay.service.clocks import until_shared_s
from services.relay.store.client import Store

NOTE_EVERY_S = 10.0
NOTE_AGAIN_S = 1.0
FORGOTTEN_AFTER_S = 3_600


async def note(store: Store, service: str, host: str, port: int) -> None:
    """Notes again and again that `service` listens there on this machine. Never returns."""
    member = f"{service} {socket.gethostname()} {port} {host}"
    while True:
        pause_s = NOTE_AGAIN_S
        with contextlib.suppress(StoreError):
            now_s = int(time.time())
            await store.write("ZADD", ADMIN_PORTS, now_s, member)
            await store.send("ZREMRANGEBYSCORE", ADMIN_PORTS, "-inf", now_s - FORGOTTEN_AFTER_S)
            pause_s = NOTE_EVERY_S
        await asyncio.sleep(until_shared_s(pause_s))


async def noted(store: Store, service: str) -> list[tuple[str, int]]:
    """Where `service` listens here, or listened in the last hour, the newest first. Raises StoreError."""
    found = await store.send("ZREVRANGE", ADMIN_PORTS, 0, -1)
    notes = (member.decode(errors="replace").split(" ") for member in found)
    return [(note[3], int(note[2])) for note in notes if note[:2] == [service, socket.gethostname()]]
