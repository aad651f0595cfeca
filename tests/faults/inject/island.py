"""A second machine, and the cable to it: network namespaces on one Linux machine.

A process on the island has its own loopback. It reaches the mainland through a switch that can be cut, and
the oracle through another cable that is never cut, because mods and Takaro are not part of a partition.
"""

import contextlib
import itertools
import os
from types import TracebackType
from typing import Self

from tests.faults.inject.machine import NotPermitted, call, need

_numbers = itertools.count()


class Island:
    """`with Island() as island:`, then `Popen([*island.prefix, ...])`, `cut()` and `join()`.

    `island.address` and `island.mainland` are the addresses of the two sides at the switch. `island.mods_at`
    (on the island) and `island.oracle` (here) are the ends of the other cable. `cut()` drops packets
    silently, as a dead switch does: no reset, no "unreachable".
    """

    def __init__(self) -> None:
        name = f"rf{os.getpid()}n{next(_numbers)}"
        self._island, self._switch = f"{name}i", f"{name}s"
        self._cable, self._port = f"{name}c"[-15:], f"{name}p"[-15:]  # an interface's name has 15 letters
        subnet = 64 + os.getpid() % 128
        self.mainland, self.address = f"10.{subnet}.1.1", f"10.{subnet}.2.1"
        self.oracle, self.mods_at = f"10.{subnet}.3.1", f"10.{subnet}.3.2"
        self._switch_ends = f"10.{subnet}.1.2", f"10.{subnet}.2.2"

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before the command of a process that is to run on the island."""
        return "ip", "netns", "exec", self._island

    def __enter__(self) -> Self:
        need("ip", root=True)
        try:
            self._lay_out()
        except NotPermitted:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in (self._island, self._switch):  # that deletes their interfaces too
            with contextlib.suppress(NotPermitted):
                call("ip", "netns", "delete", name)

    def cut(self) -> None:
        self._forward(0)

    def join(self) -> None:
        self._forward(1)

    def _forward(self, on: int) -> None:
        setting = "/proc/sys/net/ipv4/ip_forward"
        call("ip", "netns", "exec", self._switch, "sh", "-c", f"echo {on} > {setting}")

    def _lay_out(self) -> None:
        for name in (self._island, self._switch):
            call("ip", "netns", "add", name)
        here, there = self._switch_ends
        self._link(self._port, self.mainland, self._switch, "mainland", here)
        self._link("fleet", self.address, self._switch, "island", there, inside=self._island)
        self._link(self._cable, self.oracle, self._island, "oracle", self.mods_at)
        self._in(self._island, "link", "set", "lo", "up")
        call("ip", "route", "add", f"{self.address}/32", "via", here)
        self._in(self._island, "route", "add", f"{self.mainland}/32", "via", there)
        self.join()

    def _link(
        self, name: str, address: str, peer_in: str, peer: str, peer_address: str, inside: str = ""
    ) -> None:
        ends = "type", "veth", "peer", "name", peer, "netns", peer_in
        if inside:
            self._in(inside, "link", "add", name, *ends)
        else:
            call("ip", "link", "add", name, *ends)
        self._up(inside, name, address)
        self._up(peer_in, peer, peer_address)

    def _up(self, namespace: str, name: str, address: str) -> None:
        for words in (("address", "add", f"{address}/24", "dev", name), ("link", "set", name, "up")):
            if namespace:
                self._in(namespace, *words)
            else:
                call("ip", *words)

    def _in(self, namespace: str, *words: str) -> None:
        call("ip", "-n", namespace, *words)
