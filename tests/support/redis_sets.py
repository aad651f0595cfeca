"""Redis and Valkey behind Sentinels and as a Cluster, on loopback.

Each member is a RedisServer with `kill`, `start`, `pause`, `resume` and `ask(*command)`. Use of a set:

    servers = SentinelSet(binaries()["redis"])      # or RedisCluster(...)
    servers.start()                                 # takes seconds, until all members know each other
    Store(servers.url)
    old = servers.primary()                         # of a cluster: servers.primary_of("relay:{slug}:events")
    old.kill()
    new = servers.wait_for_another_primary(old)
    servers.remove()
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, new_folder
from tests.support.waiting import until_other_processes

T = TypeVar("T")

SERVICE = "relay"
"""The name by which the Sentinels know the primary."""

SLOTS = 16_384
HEALTHY_WITHIN_S = 30.0

_QUICK = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}


class Place(NamedTuple):
    """Where a member runs: its address, and the words before its command that run it there."""

    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()

    @property
    def settings(self) -> dict[str, str]:
        return {"bind": self.host, "protected-mode": "no"}


class SentinelServer(RedisServer):
    """One Sentinel. It writes what it learns to its settings file, and knows it after a restart."""

    def __init__(
        self, binary: str, *, folder: Path, place: Place, primary: str, quorum: int, down_after_ms: int
    ) -> None:
        self._monitor = (
            f"sentinel monitor {SERVICE} {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 6000\n"
            f"sentinel parallel-syncs {SERVICE} 2\n"
        )
        super().__init__(binary, folder=folder, prefix=place.prefix, port=str(free_port()), **place.settings)

    def _write_settings(self, settings: dict[str, str]) -> None:
        kept = ("port", "bind", "protected-mode", "unixsocket", "dir")
        super()._write_settings({name: settings[name] for name in kept})
        with (self.folder / "conf").open("a") as file:
            file.write(self._monitor)

    def _more_arguments(self) -> list[str]:
        return ["--sentinel"]


class _Set:
    """The members of a Sentinel set or a Cluster."""

    def __init__(self) -> None:
        self.folder = new_folder("relay-set-")
        self.members: list[RedisServer] = []
        """The servers with data, whatever their role is now."""
        self.all: list[RedisServer] = []

    def start(self) -> None:
        """Starts every member that does not run, and waits until the set is healthy."""
        for servers in (
            self.members,
            self.all,
        ):  # Sentinels look for replicas when they start, and rarely later
            for server in servers:
                if not server.running:
                    server.begin()
            for server in servers:
                server.wait_until_there()
            self._join()
        until(self.healthy)

    def heal(self) -> None:
        """Makes every member run again, and waits until every replica has all data of its primary."""
        for server in self.all:
            if server.running:
                server.resume()
        self.start()

    def healthy(self) -> bool:
        raise NotImplementedError

    def _by_port(self, port: int) -> RedisServer:
        return {member.port: member for member in self.members}[port]

    def _join(self) -> None:
        """Joins the members to a set, the first time."""

    def remove(self) -> None:
        for server in self.all:
            server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


class SentinelSet(_Set):
    """One primary, two replicas and three Sentinels (quorum 2).

    `min_replicas_to_write` is the setting of the primary (with `min-replicas-max-lag 2`); `settings` are for
    the servers with data. A server and a Sentinel run in each of the `places`, the primary in the first.
    """

    def __init__(
        self,
        binary: str,
        *,
        down_after_ms: int = 2_000,
        min_replicas_to_write: int = 0,
        places: Sequence[Place] = (Place(),) * 3,
        **settings: str,
    ) -> None:
        super().__init__()
        guard = {"min-replicas-to-write": str(min_replicas_to_write), "min-replicas-max-lag": "2"}
        ports = [free_port() for _ in places]
        primary = f"{places[0].host} {ports[0]}"
        self.members = [
            RedisServer(
                binary,
                folder=self.folder / f"server{number}",
                prefix=place.prefix,
                port=str(port),
                **{
                    **_QUICK,
                    **guard,
                    **place.settings,
                    **({"replicaof": primary} if number else {}),
                    **settings,
                },
            )
            for number, (port, place) in enumerate(zip(ports, places, strict=True))
        ]
        self.sentinels = [
            SentinelServer(
                binary,
                folder=self.folder / f"sentinel{number}",
                place=place,
                primary=primary,
                quorum=2,
                down_after_ms=down_after_ms,
            )
            for number, place in enumerate(places)
        ]
        self.all = [*self.members, *self.sentinels]
        self.url = f"redis+sentinel://{_addresses(self.sentinels, places)}/{SERVICE}"

    def primary(self) -> RedisServer:
        """The primary by what most of the answering Sentinels say. Waits until one answers."""

        def named() -> RedisServer | None:
            ports = []
            for sentinel in self.sentinels:
                with contextlib.suppress(RedisError, OSError):
                    ports.append(int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]))
            return self._by_port(max(ports, key=ports.count)) if ports else None

        return until(named)

    def _join(self) -> None:
        if not any(sentinel.running for sentinel in self.sentinels):
            until(lambda: replicas_in_step(self.members[0]) == len(self.members) - 1)

    def replicas(self) -> list[RedisServer]:
        """The other members, whether they run or not."""
        primary = self.primary()
        return [member for member in self.members if member is not primary]

    def wait_for_another_primary(self, old: RedisServer) -> RedisServer:
        """Waits until another member says that it is the primary, and returns it."""

        def another() -> RedisServer | None:
            primary = self.primary()
            return primary if primary is not old and is_primary(primary) else None

        return until(another)

    def failover(self) -> RedisServer:
        """Makes a replica the primary, as an operator does for an upgrade. Returns the new primary."""
        old = self.primary()
        self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        return self.wait_for_another_primary(old)

    def healthy(self) -> bool:
        """Whether there is one primary, all replicas have its data, and every Sentinel knows all members."""
        with contextlib.suppress(RedisError, OSError):
            others, replicas = len(self.sentinels) - 1, len(self.members) - 1
            states = [_pairs(sentinel.ask("SENTINEL", "MASTER", SERVICE)) for sentinel in self.sentinels]
            return replicas_in_step(self.primary()) == replicas and all(
                (state["flags"], state["num-other-sentinels"], state["num-slaves"])
                == ("master", str(others), str(replicas))
                for state in states
            )
        return False


class RedisCluster(_Set):
    """Three primaries with a third of the slots each, and a replica for each of them."""

    def __init__(self, binary: str, *, node_timeout_ms: int = 2_000, **settings: str) -> None:
        super().__init__()
        self._bus_ports = [free_port() for _ in range(6)]
        self.members = [
            RedisServer(
                binary,
                folder=self.folder / f"server{number}",
                port=str(free_port()),
                **{
                    **_QUICK,
                    "cluster-enabled": "yes",
                    "cluster-port": str(bus_port),
                    "cluster-node-timeout": str(node_timeout_ms),
                    **settings,
                },
            )
            for number, bus_port in enumerate(self._bus_ports)
        ]
        self.all = self.members
        self.url = f"redis+cluster://{_addresses(self.members[:3], (Place(),) * 3)}"

    def id_of(self, member: RedisServer) -> str:
        """The id of a member in the cluster."""
        return str(member.ask("CLUSTER", "MYID"))

    def slots(self) -> list[tuple[int, int, RedisServer]]:
        """First slot, last slot and primary of each range, by the first member that answers."""
        for member in self.members:
            with contextlib.suppress(RedisError, OSError):
                if not member.running:
                    continue
                return [
                    (first, last, self._by_port(int(primary[1])))
                    for first, last, primary, *_ in member.ask("CLUSTER", "SLOTS")
                ]
        return []

    def primary_of(self, key: str) -> RedisServer:
        """The member that serves this key."""
        return self.primary_of_slot(key_slot(key.encode()))

    def primary_of_slot(self, slot: int) -> RedisServer:
        """The member that serves this slot. Waits until one does: while a replica takes over, a member may
        name nobody for it.
        """

        def serves() -> RedisServer | None:
            return next((primary for first, last, primary in self.slots() if first <= slot <= last), None)

        return until(serves)

    def primaries(self) -> list[RedisServer]:
        """All members that serve slots."""
        return list(dict.fromkeys(primary for _, _, primary in self.slots()))

    def replicas_of(self, primary: RedisServer) -> list[RedisServer]:
        """The running replicas of this member."""
        replies = primary.ask("ROLE")[2]
        return [self._by_port(int(port)) for _, port, _ in replies]

    def wait_for_another_primary(self, old: RedisServer, slot: int) -> RedisServer:
        """Waits until another member says that it is the primary of the slot, and returns it."""

        def another() -> RedisServer | None:
            primary = self.primary_of_slot(slot)
            return primary if primary is not old and is_primary(primary) else None

        return until(another)

    def failover(self, slot: int) -> RedisServer:
        """Makes a replica the primary of a slot, as an operator does for an upgrade. Returns the new
        primary."""
        old = self.primary_of_slot(slot)
        self.replicas_of(old)[0].ask("CLUSTER", "FAILOVER")
        return self.wait_for_another_primary(old, slot)

    def open_slot(self, slot: int, target: RedisServer) -> None:
        """Begins a live move of a slot: from now on the source answers ASK for keys that have moved."""
        source = self.primary_of_slot(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, target: RedisServer, count: int = 10_000) -> int:
        """Moves up to `count` keys of an opened slot, and returns how many. Scripts then get TRYAGAIN."""
        source = self.primary_of_slot(slot)
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
        return len(keys)

    def close_slot(self, slot: int, target: RedisServer) -> None:
        """Ends the move, and waits until all primaries know it: from now on the source answers MOVED."""
        primaries = self.primaries()
        for primary in dict.fromkeys([target, *primaries]):
            primary.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))
        until(lambda: self.primary_of_slot(slot) is target)

    def move_slot(self, slot: int, target: RedisServer) -> None:
        """Moves a slot with all its keys, live."""
        self.open_slot(slot, target)
        while self.move_keys(slot, target, 100):
            pass
        self.close_slot(slot, target)

    def healthy(self) -> bool:
        """Whether all slots are served, all members know each other, and all replicas have all data."""
        with contextlib.suppress(RedisError, OSError):
            return all(
                "cluster_state:ok" in member.ask("CLUSTER", "INFO")
                and "fail" not in member.ask("CLUSTER", "NODES").replace("nofailover", "")
                and len(member.ask("CLUSTER", "NODES").splitlines()) == len(self.members)
                for member in self.members
            ) and all(replicas_in_step(primary) >= 1 for primary in self.primaries())
        return False

    def _join(self) -> None:
        first, primaries, replicas = self.members[0], self.members[:3], self.members[3:]
        if len(first.ask("CLUSTER", "NODES").splitlines()) > 1:
            return  # it was started before
        for number, member in enumerate(primaries):
            member.ask("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, member in enumerate(self.members):  # gossip alone would take longer
            for other, bus_port in list(zip(self.members, self._bus_ports, strict=True))[number + 1 :]:
                member.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus_port)
        until(lambda: all(self._knows_all(member) for member in self.members))
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", self.id_of(primary))

    def _knows_all(self, member: RedisServer) -> bool:
        told = member.ask("CLUSTER", "NODES")
        return len(told.splitlines()) == len(self.members) and "handshake" not in told


def is_primary(server: RedisServer) -> bool:
    """Whether the server says that it is a primary. False if it does not answer."""
    try:
        return bool(server.ask("ROLE")[0] == "master")
    except (RedisError, OSError):
        return False


def replicas_in_step(primary: RedisServer) -> int:
    """The number of replicas that have all data and get each write from now on."""
    with redis.Redis(unix_socket_path=str(primary.socket), socket_timeout=10.0) as client:
        told = client.info("replication")
    return sum(told.get(f"slave{number}", {}).get("state") == "online" for number in range(len(told)))


def until(condition: Callable[[], T | None], within_s: float = HEALTHY_WITHIN_S) -> T:
    """Waits until a condition is true that other processes make true, and returns its value. Raises
    TimeoutError.
    """

    def found() -> T | None:
        with contextlib.suppress(RedisError, OSError):
            return condition()
        return None

    return until_other_processes(found, "the servers did not become a healthy set", within_s)


def _addresses(servers: Iterable[RedisServer], places: Iterable[Place]) -> str:
    return ",".join(f"{place.host}:{server.port}" for server, place in zip(servers, places, strict=True))


def _pairs(reply: list[str]) -> dict[str, str]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
