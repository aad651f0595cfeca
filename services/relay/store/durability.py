"""Decides whether a Redis is safe for accepted events (protocol.md R1). Pure: facts in, complaints and texts
out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OLDEST = (7, 0)

STORE_LABELS = ("version", "topology", "appendfsync", "policy", "replicas")  # of `dayz_relay_store_info`

_FIX = {
    "appendonly": ("yes", "a restart of Redis loses every event and every server that is kept in it"),
    "appendfsync": ("always", "a killed Redis loses events that the relay has already answered for"),
    "no-appendfsync-on-rewrite": ("no", "events written while the file is rewritten can be lost"),
    "maxmemory-policy": ("noeviction", "when memory runs out it deletes events and commands"),
}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself. `settings` lacks what a managed server hides."""

    name: str
    version: str
    primary: bool = True
    replicas: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    aof_ok: bool = True
    uptime_s: int = 0

    @property
    def max_memory_bytes(self) -> int:
        """0: no limit, or it is hidden."""
        return int(self.settings.get("maxmemory", 0))

    @property
    def fullness(self) -> float:
        """Used memory as a share of its limit; 0: no limit."""
        return self.memory_bytes / self.max_memory_bytes if self.max_memory_bytes else 0.0


def server_facts_of(info: str, settings: Mapping[str, str]) -> ServerFacts:
    """Facts from the replies to INFO and CONFIG GET."""
    # No `splitlines`: a user's script gives an error its name, which may have other ends of lines in it.
    given = dict(line.partition(":")[::2] for line in info.split("\r\n") if ":" in line)
    name = "Valkey" if "valkey_version" in given else "Redis"
    return ServerFacts(
        name,
        given.get("valkey_version") or given.get("redis_version", ""),
        given.get("role") == "master",
        # Replicas that get each write: one that still receives the first copy does not count.
        sum("state=online" in text for key, text in given.items() if key.startswith("slave")),
        settings,
        int(given.get("used_memory", 0)),
        given.get("aof_last_write_status", "ok") == "ok",
        int(given.get("uptime_in_seconds", 0)),
    )


def too_old(facts: ServerFacts) -> str:
    """The complaint about a server that is too old for the scripts, or ""."""
    try:
        version = tuple(int(part) for part in facts.version.split(".")[:2])
    except ValueError:
        return ""  # the version is unknown
    if facts.name == "Valkey" or version >= OLDEST:
        return ""
    return f"Redis has version {facts.version}: the relay needs {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey"


def complaints(settings: Mapping[str, str]) -> list[str]:
    """One line for each setting of CONFIG GET that must change: its value, what it can lose, the command that
    fixes it. Settings that are hidden are not checked."""
    return [
        f"Redis has {name} '{settings[name]}': {loss}. Fix: {_how(name, wanted)}"
        for name, (wanted, loss) in _FIX.items()
        if name in settings and settings[name] != wanted
    ]


def _how(name: str, wanted: str) -> str:
    if name == "appendonly":
        # CONFIG SET appendonly yes writes the file anew, from a memory that may be empty because of this.
        return (
            f"write {name} {wanted} into its configuration file and start it again. No CONFIG SET: that would"
            " overwrite what its file holds from before"
        )
    return f"CONFIG SET {name} {wanted}, and the same in its configuration file"


def refusal(facts: ServerFacts, *, relaxed: bool) -> str:
    """Why durable calls to a server are refused, or "". `relaxed`: they may be lost by its settings."""
    losses = [] if relaxed else complaints(facts.settings)
    return "\n".join(filter(None, [too_old(facts), *losses]))


class StoreFacts(NamedTuple):
    """What is known of a store: its primaries, as far as they have answered, and what is asked of them."""

    kind: str
    replicas: int = 0  # number of replicas that must have each batch
    relaxed: bool = False
    servers: tuple[ServerFacts, ...] = ()

    def losses(self) -> list[str]:
        """One line for each setting of the primaries that can lose data, with the fix."""
        return list(dict.fromkeys(loss for one in self.servers for loss in complaints(one.settings)))

    def refusals(self) -> list[str]:
        """Why durable calls are refused; empty if they are not."""
        found = (refusal(one, relaxed=self.relaxed) for one in self.servers)
        return list(dict.fromkeys(filter(None, found)))

    def shortage(self) -> str:
        """The complaint that too few replicas are there for durable calls, or ""."""
        there = min((one.replicas for one in self.servers), default=0)
        if there >= self.replicas:
            return ""
        return f"Redis: only {there} of {self.replicas} replicas are there: no event can be accepted"

    def summary(self) -> str:
        """One line: what the store is, and what it survives."""
        if not self.servers:
            return f"{self.kind}, not reached yet"
        return f"{self._versions()}, {self.kind}; it survives {self._survives()}"

    def described(self) -> str:
        """The same, with how it keeps data."""
        if not self.servers:
            return self.summary()
        return (
            f"{self._versions()}, {self.kind}, appendfsync {self._settings('appendfsync')}, "
            f"maxmemory-policy {self._settings('maxmemory-policy')}, "
            f"each batch waits for {self.replicas} replica(s); it survives {self._survives()}"
        )

    def labels(self) -> dict[str, str]:
        """STORE_LABELS of this store."""
        return {
            "version": self._versions(),
            "topology": self.kind,
            "appendfsync": self._settings("appendfsync"),
            "policy": self._settings("maxmemory-policy"),
            "replicas": str(self.replicas),
        }

    def _versions(self) -> str:
        return "/".join(sorted({f"{one.name} {one.version}" for one in self.servers}))

    def _settings(self, name: str) -> str:
        return "/".join(sorted({one.settings.get(name, "hidden") for one in self.servers}))

    def _survives(self) -> str:
        kept = [one.settings for one in self.servers]
        if any(one.get("appendonly") == "no" for one in kept):
            return "nothing: a restart of Redis loses what waits"
        if any(complaints(settings) for settings in kept):
            return "a clean restart of Redis; a crash may lose what was accepted last"
        if not all("appendfsync" in settings for settings in kept):
            return "what its operator promises, for its settings are hidden"
        if self.replicas > 1:
            others = self.replicas - 1
            return f"a crash of Redis, and the loss of its machine with up to {others} of the replicas'"
        if self.replicas:
            return "a crash of Redis, and the loss of its machine"
        return "a crash of Redis and of its machine, not the loss of its disk"
