"""The players who were seen on a server, as Redis has them: for answers about somebody who is not online."""

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson

from services.relay.instances.facts import InstanceState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.records import Outcome

LOOK_UP_WITHIN_S = 0.7

_IDS = ("gameId", "steamId", "platformId")


async def known_player(state: InstanceState, game_id: str) -> dict[str, Any] | None:
    """The record of a player; None if there is none, or Redis does not answer in time."""
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN_S):
            return await state.player(game_id)
    except (StoreError, TimeoutError):
        return None


async def named(bans: Outcome, state: InstanceState) -> Outcome:
    """The mod's list of bans with the players who were seen; as it is, if Redis does not answer in time."""
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN_S):
            seen = await state.players()
    except (StoreError, TimeoutError):
        return bans
    return Outcome(await asyncio.to_thread(with_known_players, bans.value, seen.values()))


def with_known_players(bans: list[dict[str, Any]], records: Iterable[bytes]) -> list[dict[str, Any]]:
    """`bans`, each completed with the record of its player. `records` are the players who were seen.

    Ban lists of mods have an id in place of the name. Takaro renames a player to what the list says, and
    accepts no player under another gameId than before.
    """
    people: dict[str, dict[str, Any]] = {}
    for record in records:
        person = orjson.loads(record)
        for key in _IDS:
            people.setdefault(person.get(key, ""), person)
    people.pop("", None)
    return [{**ban, "player": {**ban["player"], **_player_among(ban["player"], people)}} for ban in bans]


def _player_among(player: dict[str, Any], people: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = (people[player[key]] for key in _IDS if player.get(key) in people)
    return next(found, {})
