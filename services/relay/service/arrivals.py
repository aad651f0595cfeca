"""When a request reached this machine, how long its bytes waited unread, and whether its sender still waits.

A process that stood still (frozen, suspended, a blocked loop, a busy machine) finds requests in its sockets
that their senders may have given up. Linux knows for each connection when the last bytes came, and whether
the other side has closed it, even before they are read or the connection is accepted. Other systems do not
say so: there a request that is read soon after a standstill may be as old as the standstill.
"""

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.relay.service.clocks import boottime_s, until_shared_s

ALIVE_EVERY_S = 0.25
NOTICED_S = 0.5
READ_WITHIN_S = 2.0  # time after a standstill in which all bytes are read that came during it

_ESTABLISHED = 1
_TCP_INFO = struct.Struct("=B51xI")  # its first fields: the state, ..., how long ago the last bytes came (ms)
TICK_S = 0.01  # resolution of the kernel's clock

SLEPT_S = 0.1


class Stalls:
    """The standstills of one process. The loop that reads calls `alive` regularly."""

    def __init__(self, now_s: float) -> None:
        self._seen_s = now_s
        self._alive_s = 0.0  # how long the loop has been alive
        self._stalls: list[tuple[float, float]] = []  # `_alive_s` at each of the last ones, and its length

    def alive(self, now_s: float) -> None:
        passed_s = now_s - self._seen_s
        if passed_s - ALIVE_EVERY_S > NOTICED_S:
            self._stalls.append((self._alive_s, passed_s))
        else:
            self._alive_s += passed_s
        self._stalls = [stall for stall in self._stalls if self._alive_s - stall[0] < READ_WITHIN_S]
        self._seen_s = now_s

    def waited_s(self, now_s: float) -> float:
        """How long bytes that are read at `now_s` may have waited; 0: no standstill was just now.

        Bytes from one standstill may still be unread after the next one, but not once the loop has been alive
        for READ_WITHIN_S since.
        """
        silent_s, alive_s = now_s - self._seen_s, self._alive_s
        if silent_s - ALIVE_EVERY_S <= NOTICED_S:
            if not self._stalls:
                return 0.0
            alive_s, silent_s = alive_s + silent_s, 0.0
        return silent_s + sum(lasted_s for at_s, lasted_s in self._stalls if alive_s - at_s < READ_WITHIN_S)


async def watch(stalls: Stalls) -> None:
    """Calls `alive` again and again, on boottime_s(). Never returns."""
    while True:
        stalls.alive(boottime_s())
        await asyncio.sleep(until_shared_s(ALIVE_EVERY_S))


class ConnectionInfo(NamedTuple):
    """How long ago the last bytes of a connection came, and whether more may come, as the kernel knows it."""

    silent_s: float
    open: bool


def connection_info(sock: socket.socket | None) -> ConnectionInfo | None:
    """What the kernel knows of a connection; None: it does not say."""
    if sys.platform != "linux" or sock is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # not TCP, or closed here already
        return None
    if len(info) < _TCP_INFO.size:
        return None
    state, silent_ms = _TCP_INFO.unpack(info)
    return ConnectionInfo(silent_ms / 1000, state == _ESTABLISHED)


@dataclass(slots=True, eq=False)
class CallerConnection:
    """The connection of a caller. `on_gone` is called once the loop has read that the caller hung up."""

    sock: socket.socket | None = None
    is_gone: bool = False
    on_gone: Callable[[], object] | None = None


class Arrivals:
    """Finds out when the requests of one listener arrived. The loop that reads them calls `alive` regularly.
    The clock `monotonic_s` stands while the machine sleeps."""

    def __init__(
        self,
        boottime_s: Callable[[], float] = boottime_s,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.boottime_s = boottime_s
        self._monotonic_s = monotonic_s
        self.stalls = Stalls(boottime_s())
        self._awake = Stalls(monotonic_s())

    def alive(self) -> None:
        self.stalls.alive(self.boottime_s())
        self._awake.alive(self._monotonic_s())

    def begun(self, connection: CallerConnection) -> "Arrival":
        """The arrival of a request whose first bytes were read just now."""
        boot_s, now_s = self.boottime_s(), self._monotonic_s()
        waited_s = self.stalls.waited_s(boot_s)
        known = connection_info(connection.sock) if waited_s else None
        if known is None:
            return Arrival(now_s, boot_s - waited_s, self, connection)
        slept_s = waited_s - self._awake.waited_s(now_s)  # the kernel does not count this time
        oldest_s = boot_s - known.silent_s - (slept_s if slept_s > SLEPT_S else 0.0)
        return Arrival(now_s - max(0.0, known.silent_s - TICK_S), oldest_s, self, connection)


@dataclass(slots=True)
class Arrival:
    """One request. `at_s`, on time.monotonic(), is when its first bytes arrived, or later; `oldest_s`, on
    boottime_s(), is when they arrived, or earlier."""

    at_s: float
    oldest_s: float
    arrivals: Arrivals
    connection: CallerConnection

    def after_stall(self) -> bool:
        """Whether this process stood still just now: then the sender may be gone."""
        return self.arrivals.stalls.waited_s(self.arrivals.boottime_s()) > 0

    def age_s(self) -> float:
        """The longest time that the request can have waited."""
        return self.arrivals.boottime_s() - self.oldest_s

    def hang_up(self) -> None:
        """Ends the connection, also if the other side reads nothing more."""
        if self.connection.sock is not None:
            with contextlib.suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)

    def is_closed(self) -> bool | None:
        """Whether the other side has closed the connection. None: only the next read will show it."""
        known = connection_info(self.connection.sock)
        return None if known is None else not known.open
