"""Reads which player a record means. Pure.

A mod that builds JSON by joining texts lets a player write keys: a name such as `x","gameId":"…` puts another
player's id into the record. So a record whose fields contradict each other means no player, and ids outside
of a record make the whole event untrustworthy (protocol.md M10).
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from services.modapi.dialect import fields

Record = Mapping[str, Any]

RECORD_KEYS = frozenset(
    {"gameId", "name", "steamId", "platformId", "ip", "ping", "online", "epicOnlineServicesId", "xboxLiveId"}
)
"""The keys of a player record as mods spell them."""

_IDS = ("gameId", "steamId", "platformId")
# In lower case, letters and digits only: `GameID` and `steam_id` mean the same as the names above.
_FOLDED = {name.lower(): name for name in (*_IDS, "name")} | dict.fromkeys(
    ("steam64", "steam64id", "steamid64"), "steamId"
)
_SHORTEST_KEY = min(map(len, _FOLDED))
_EVENT_KEYS = frozenset({"type", "timestamp", "msg", "channel", "weapon", "entity", "raw", "position"})


class Contradiction(Exception):
    """A record may mean several players. `str(error)` names the fields."""


class Identity(NamedTuple):
    """The player of a record; "" or None for what the record does not have."""

    game_id: str
    name: str
    steam_id: str | None
    platform_id: str | None


def identity_of(record: Record) -> Identity:
    """Reads a record. Raises Contradiction if its fields mean several players."""
    if not RECORD_KEYS.issuperset(record):
        record = _respelled(record)
    for key in (*_IDS, "name"):
        if type(record.get(key)) in (list, dict) and record[key]:
            raise Contradiction(f"{key}: has several values")
    game_id, raw_platform_id = fields.game_id(record.get("gameId")), fields.word(record.get("platformId"))
    steam_id = _one(
        "gameId, steamId and platformId",
        fields.steam_id(record.get("steamId")),
        fields.steam_id(game_id),
        fields.steam_id(raw_platform_id.lower().removeprefix("steam:")),
    )
    platform_id = _one(
        "gameId and platformId", fields.platform_id(record.get("platformId")), fields.platform_id(game_id)
    )
    name = fields.name(record.get("name"), game_id, fields.word(record.get("steamId")), raw_platform_id)
    if name == steam_id or (platform_id and fields.platform_id(name) == platform_id):
        name = ""
    return Identity(game_id, name, steam_id, platform_id)


def has_stray_ids(event: Record, people: AbstractSet[str]) -> bool:
    """Whether an event has ids of a player outside of its records, which are under the keys `people`.

    A forged text that closes the mod's record leaves the rest of the mod's ids there. An id equal to that of
    `player` is no stray if there is no other record: the event names its player twice. If there is another
    record, it is one: a forged text may have inserted that record and repeated the writer's own id.
    """
    for key, value in event.items():
        if not value or key in people:
            continue
        kind = type(value)
        if kind is dict or kind is list:
            if (key not in _EVENT_KEYS and _meaning(key) in _IDS) or _holds_ids(value):
                return True
        elif key not in _EVENT_KEYS and (name := _meaning(key)) in _IDS:
            player = event.get("player")
            if type(player) is not dict or player.get(name) != value:
                return True
            if any(event.get(person) for person in people if person != "player"):
                return True
    return False


def _respelled(record: Record) -> dict[str, Any]:
    """The record with keys spelled as in RECORD_KEYS. Raises Contradiction."""
    plain: dict[str, Any] = {}
    for key, value in record.items():
        name = key if key in RECORD_KEYS else _meaning(key)
        if name is None:
            if _holds_ids(value):
                raise Contradiction(f"{key[:40]}: has ids of a player within the record of another")
        elif not value:
            plain.setdefault(name, value)
        elif plain.get(name) and fields.word(plain[name]) != fields.word(value):
            raise Contradiction(f"{name}: has several values")
        else:
            plain[name] = value
    return plain


def _meaning(key: str) -> str | None:
    """The field of a record that this key means in any spelling; None if it means none."""
    if len(key) < _SHORTEST_KEY:
        return None
    return _FOLDED.get("".join(filter(str.isalnum, key[:40])).lower())


def _holds_ids(value: Any) -> bool:
    """Whether this value contains an object with an id of a player."""
    if type(value) is dict:
        for key, one in value.items():
            if one and len(key) >= _SHORTEST_KEY and _meaning(key) in _IDS:
                return True
            if (type(one) is dict or type(one) is list) and _holds_ids(one):
                return True
        return False
    return type(value) is list and any(map(_holds_ids, value))


def _one(names: str, *ids: str | None) -> str | None:
    """The only id among `ids`, None if there is none. Raises Contradiction if they differ."""
    different = {one for one in ids if one}
    if len(different) > 1:
        raise Contradiction(f"{names}: are ids of several players")
    return next(iter(different), None)
