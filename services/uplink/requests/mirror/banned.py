"""Who is banned, by the names and ids under which Takaro knows them. Pure."""

from collections.abc import Iterable
from typing import Any

import orjson

_IDS = ("gameId", "steamId", "platformId")


def known_as(bans: list[dict[str, Any]], records: Iterable[bytes]) -> list[dict[str, Any]]:
    """`bans` with what is known of each player put in. `records` are those of the players who were seen.

    Ban lists of mods hold an id and no name. Takaro renames a player to what stands in the list, and takes
    no player under another gameId than before.
    """
    people: dict[str, dict[str, Any]] = {}
    for record in records:
        person = orjson.loads(record)
        for key in _IDS:
            people.setdefault(person.get(key, ""), person)
    people.pop("", None)
    return [{**ban, "player": {**ban["player"], **_find(ban["player"], people)}} for ban in bans]


def _find(player: dict[str, Any], people: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = (people[player[key]] for key in _IDS if player.get(key) in people)
    return next(found, {})
