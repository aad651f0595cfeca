"""What Redis has of one instance: the facts that a page shows, the link, the players and the mod."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.keys import keys_of
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S, Action
from services.relay.service.clocks import wall_s
from services.relay.store.calls import ignore_error
from services.relay.store.client import Script, Store, pairs

FAILED_KEPT_MS = 24 * 3600 * 1000
MOST_FAILED = 1_000

_FACTS, _CONTACT = Script("facts"), Script("contact")


@dataclass(frozen=True, slots=True)
class Facts:
    """What Redis knows of one instance, in the order of facts.lua's reply. Times are ms on Redis' clock; ""
    and None mean unknown, or none."""

    now_ms: int
    uplink: str  # name of the uplink that owns the instance
    link: str  # state of the link to Takaro as an uplink last wrote it. Without an owner it is out of date.
    game_server_id: str
    link_why: str  # what is wrong with the link, as an uplink last wrote it
    contact_ms: int | None  # when the mod was last heard of, to within some seconds
    events: int
    events_bytes: int
    oldest_ms: int | None  # when the oldest waiting event was accepted
    commands: int
    dead: int
    players: int | None  # online; None also while the mod is silent: those that it last named may be gone
    mod_version: str
    hold_ms: int | None  # how long a poll that finds nothing may be held; 0: not at all
    address: str = ""  # address from which the mod last called
    made_up: int = 0  # number of positions that the mirror made up for Takaro since the instance exists
    made_up_ms: int | None = None  # when the last of them was made up
    failed_commands: int = 0  # writes of the last 24 hours that the mod refused, or that have no result

    @property
    def silent_s(self) -> float | None:
        return None if self.contact_ms is None else max(0, self.now_ms - self.contact_ms) / 1000

    @property
    def is_silent(self) -> bool:
        """Whether the mod has not called for SILENT_AFTER_S, or never."""
        return self.silent_s is None or self.silent_s > SILENT_AFTER_S

    @property
    def oldest_s(self) -> float | None:
        return None if self.oldest_ms is None else max(0, self.now_ms - self.oldest_ms) / 1000

    @property
    def made_up_s(self) -> float | None:
        return None if self.made_up_ms is None else max(0, self.now_ms - self.made_up_ms) / 1000


async def facts_of(store: Store, slug: str) -> Facts:
    """The facts of one instance. Raises StoreError."""
    of = keys_of(slug)
    keys = [of.lease, of.link, of.contact, of.intake, of.events]
    keys += [of.waiting, of.dead, of.mirror, of.mod, of.failed]
    found = await store.run(_FACTS, keys, FAILED_KEPT_MS)
    values: list[Any] = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in found]
    known = Facts(*values)
    return replace(known, players=None) if known.is_silent else known


async def facts_of_all(store: Store, slugs: Sequence[str]) -> dict[str, Facts]:
    """The facts of several instances by slug, read in one pipeline. Raises StoreError."""
    found = await asyncio.gather(*(facts_of(store, slug) for slug in slugs))
    return dict(zip(slugs, found, strict=True))


def note_failed(store: Store, slug: str, operation_id: str, now_ms: int) -> None:
    """Stores that a write failed now, by Redis' clock. It may be lost."""
    key = keys_of(slug).failed
    store.write_unawaited("ZADD", key, now_ms, operation_id)
    store.send_unawaited("ZREMRANGEBYSCORE", key, 0, now_ms - FAILED_KEPT_MS)
    store.send_unawaited("ZREMRANGEBYRANK", key, 0, -MOST_FAILED - 1)
    store.send_unawaited("EXPIRE", key, 2 * FAILED_KEPT_MS // 1000)


@unique
class ServerCause(StrEnum):
    """The first thing that keeps a server from being up; `up` if there is none."""  # it labels a metric

    UP = "up"
    DISABLED = "disabled"
    NOT_SERVED = "not_served"
    NO_TOKEN = "no_token"  # no registration token: nothing reaches Takaro
    NO_OWNER = "no_owner"  # no uplink owns it
    NEVER_CALLED = "never_called"  # its mod has never called
    SILENT = "silent"
    NOT_LINKED = "not_linked"


def server_cause(facts: Facts, *, has_token: bool) -> ServerCause:
    """The cause for a served instance with these facts."""
    if not has_token:
        return ServerCause.NO_TOKEN
    if not facts.uplink:
        return ServerCause.NO_OWNER
    if facts.silent_s is None:
        return ServerCause.NEVER_CALLED
    if facts.is_silent:
        return ServerCause.SILENT
    return ServerCause.UP if facts.link == LinkState.READY else ServerCause.NOT_LINKED


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The link to Takaro as an uplink last wrote it."""

    state: str = ""
    game_server_id: str = ""  # "" until Takaro has given one
    why: str = ""  # what is wrong


class InstanceData:
    """The players, the link and the mod of the instance `slug` in Redis. Every call raises StoreError."""

    def __init__(self, store: Store, slug: str) -> None:
        self.slug = slug
        self._store = store
        self._keys = keys_of(slug)

    async def players(self) -> dict[str, bytes]:
        """gameId -> record of each player seen, as modapi's roster keeps it."""
        stored = await self._store.send("HGETALL", self._keys.players)
        return {game_id.decode(): record for game_id, record in pairs(stored)}

    async def player(self, game_id: str) -> dict[str, Any] | None:
        """The record of one player, None if the player was never seen."""
        stored = await self._store.send("HGET", self._keys.players, game_id)
        return orjson.loads(stored) if stored else None

    async def link(self) -> LinkInfo:
        stored = await self._store.send("HMGET", self._keys.link, "state", "game_server_id", "why")
        return LinkInfo(*(value.decode() if value else "" for value in stored))

    async def write_link(self, info: LinkInfo) -> None:
        fields = ("state", info.state, "game_server_id", info.game_server_id, "why", info.why)
        await self._store.write("HSET", self._keys.link, *fields)

    def note_mod(self, field: str, value: str | int) -> None:
        """Stores `version`, `hold_ms` or `address` of the mod. It may be lost: later calls store the last two
        again, and the mod names its version at the next start of its game server."""
        self._store.write_unawaited("HSET", self._keys.mod, field, value)

    def note_contact(self) -> None:
        """Stores that the mod has called now. It may be lost: the mod's next call stores it again."""
        self._store.run(_CONTACT, (self._keys.contact,)).add_done_callback(ignore_error)


class OnlinePlayers(NamedTuple):
    """The players who are online, as records as Takaro gets them, with a last known `position` or None."""

    age_s: float | None  # how long ago the mod last said who is online; None: it never has
    players: list[dict[str, Any]]


async def online_players(store: Store, slug: str) -> OnlinePlayers:
    """The players by name. Raises StoreError."""
    key = keys_of(slug).mirror
    at_s, players = _read(await store.send("HGET", key, "online"))
    if not isinstance(players, list):
        return OnlinePlayers(None, [])
    known = [player for player in players if isinstance(player, dict) and "gameId" in player]
    fields = [f"{Action.GET_PLAYER_LOCATION}:{player['gameId']}" for player in known]
    positions = await store.send("HMGET", key, *fields) if fields else []
    shown = [
        {**player, "position": _read(stored)[1]} for player, stored in zip(known, positions, strict=True)
    ]
    shown.sort(key=lambda player: str(player.get("name", "")).casefold())
    return OnlinePlayers(max(0.0, wall_s() - at_s), shown)


def _read(stored: bytes | None) -> tuple[float, Any]:
    """When a field of the mirror was renewed, and its value; None if there is none."""
    at_s, _, payload = (stored or b"").partition(b" ")
    try:
        return float(at_s), orjson.loads(payload)
    except ValueError:
        return 0.0, None
