"""The players, the link and the mod of one instance, as Redis has them."""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import wall_s
from services.relay.store.calls import ignore_error
from services.relay.store.client import Script, Store, pairs

_CONTACT = Script("contact")


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The link to Takaro as an uplink last wrote it."""

    state: str = ""
    game_server_id: str = ""  # "" until Takaro has given one
    why: str = ""  # what is wrong


class InstanceState:
    """Reads and writes them for the instance `slug`. Every call raises StoreError."""

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
        await self._store.send("HSET", self._keys.link, *fields)

    def note_mod(self, field: str, value: str | int) -> None:
        """Stores `version`, `hold_ms` or `address` of the mod. It may be lost: later calls store it again."""
        self._store.send_unawaited("HSET", self._keys.mod, field, value)

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
    fields = (f"{Action.GET_PLAYER_LOCATION}:{player['gameId']}" for player in known)
    positions = await asyncio.gather(*(store.send("HGET", key, field) for field in fields))
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
