"""Completes the mod's list of bans by the players who were seen on a server. Pure."""

from collections.abc import Iterable
from typing import Any

import orjson

_IDS = ("gameId", "steamId", "platformId")


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
