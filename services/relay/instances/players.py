"""The players who are online on one instance, as the mirror in Redis knows them."""

import asyncio
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import wall_s
from services.relay.store.client import Store


class OnlinePlayers(NamedTuple):
    """`age_s`: how long ago the mod last said who is online; None: it never has.

    A player is a record as Takaro gets it, with its last known `position` (x, y, z) or None.
    """

    age_s: float | None
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
