"""Maps a mod's events to the six events of Takaro (protocol.md T5).

Takaro refuses an event with an unknown field, and drops one that it cannot use. So each mapper builds new
data from checked values, or gives the reason why it cannot.
"""

from collections.abc import Callable
from typing import Any

from services.modapi.dialect import fields
from services.modapi.dialect.dead import Reason, dead
from services.modapi.dialect.identity import Contradiction, has_stray_ids
from services.modapi.dialect.roster import Roster
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.protocol.vocabulary import EventType

Data = dict[str, Any]

TEAM_BIT = 512
"""Bit of a party in Expansion's chat flags. All other flags of protocol.md M11 mean a public channel."""

_IDS = ("gameId", "steamId", "platformId")
_PLATFORM_IDS = frozenset({"steamId", "platformId"})
_ALONE = frozenset({"player"})
_IN_A_CHAT = frozenset({"player", "recipient"})
_IN_A_DEATH = frozenset({"player", "attacker"})
_CHANNELS = {
    "team": "team",
    "party": "team",
    "group": "team",
    "friends": "friends",
    "whisper": "whisper",
    "private": "whisper",
}


class Unfit(Exception):
    """An event cannot become valid: a Reason and its detail. Raised by mappers, never out of `map_event`."""


def map_event(raw: dict[str, Any], roster: Roster, received: str) -> GameEvent | DeadEvent:
    """The event in Takaro's form, or a dead event with the reason.

    `received` is the ISO 8601 time at which modapi received it: the mod's own timestamp is in-game time.
    """
    kind = raw.get("type")
    event_type = kind if type(kind) is str else ""
    if event_type not in _MAPPERS:  # it may be spelled `player_connected` or `PlayerConnected`
        event_type = _FOLDED.get("".join(filter(str.isalnum, event_type[:40])).lower(), "")
    if not event_type:
        return dead(Reason.UNKNOWN_TYPE, f"type: {fields.word(kind)!r} is not an event", raw)
    try:
        data = _MAPPERS[event_type](raw, roster)
    except Unfit as unfit:
        reason, detail = unfit.args
        return dead(reason, detail, raw)
    except Contradiction as contradiction:
        return dead(Reason.CONTRADICTORY_PLAYER, f"player: {contradiction}", raw)
    data["timestamp"] = received
    return {"type": event_type, "data": data}


def _log(raw: Data, roster: Roster) -> Data:
    text = fields.message(raw.get("msg")) or fields.message(raw.get("raw"))
    if not text:
        raise Unfit(Reason.EMPTY_MESSAGE, "msg: is missing or empty")
    return {"msg": text}


def _player_event(raw: Data, roster: Roster) -> Data:
    return _with_message(raw, {"player": _player(raw, roster)})


def _chat(raw: Data, roster: Roster) -> Data:
    data: Data = {"channel": channel(raw.get("channel")), "msg": fields.message(raw.get("msg"))}
    if not data["msg"]:
        raise Unfit(Reason.EMPTY_MESSAGE, "msg: is missing or empty")
    # Other mods write notices into the chat without a sender. A sender is not looked up by name: a player
    # could run commands as somebody else. Takaro takes a line without a player as a system message and runs
    # no command in it. A line whose sender has contradictory ids goes out without a player too.
    if has_stray_ids(raw, _IN_A_CHAT):
        roster.contradicted()
        return data
    try:
        player = roster.complete(raw.get("player"))
    except Contradiction:
        return data
    if player is not None and not _PLATFORM_IDS.isdisjoint(player):
        data["player"] = player
    if data["channel"] == "whisper" and (recipient := _other(raw.get("recipient"), roster)) is not None:
        data["recipient"] = recipient
    return data


def _death(raw: Data, roster: Roster) -> Data:
    data = _with_message(raw, {"player": _player(raw, roster, _IN_A_DEATH)})
    # Takaro refuses `weapon` here.
    weapon = fields.word(raw.get("weapon"))
    if weapon and weapon not in data.get("msg", ""):
        data["msg"] = f"{data['msg']}, killed with {weapon}" if "msg" in data else f"killed with {weapon}"
    attacker = _other(raw.get("attacker"), roster)
    if attacker is not None and attacker["gameId"] != data["player"]["gameId"]:
        data["attacker"] = attacker
    if (position := fields.position(raw.get("position"))) is not None:
        data["position"] = position
    return data


def _kill(raw: Data, roster: Roster) -> Data:
    entity = fields.word(raw.get("entity"))
    if not entity:
        raise Unfit(Reason.NO_ENTITY, "entity: is missing or empty")
    # `weapon` is required, even if empty; `position` is refused.
    data = {"player": _player(raw, roster), "entity": entity, "weapon": fields.word(raw.get("weapon"))}
    return _with_message(raw, data)


EVENT_MAPPERS: dict[EventType, Callable[[Data, Roster], Data]] = {
    EventType.LOG: _log,
    EventType.PLAYER_CONNECTED: _player_event,
    EventType.PLAYER_DISCONNECTED: _player_event,
    EventType.CHAT_MESSAGE: _chat,
    EventType.PLAYER_DEATH: _death,
    EventType.ENTITY_KILLED: _kill,
}

# By plain text: to hash a member of an enum costs as much as to map a log line.
_MAPPERS = {kind.value: mapper for kind, mapper in EVENT_MAPPERS.items()}
_FOLDED = {kind.value.replace("-", ""): kind.value for kind in EventType}


def channel(value: Any) -> str:
    """Takaro's name of a chat channel, from its name, number or bit flags; "global" unless it is private."""
    if value == "global":
        return "global"
    name = fields.word(value).lower()
    if name.isascii() and name.isdigit() and len(name) < 10:
        return "team" if int(name) & TEAM_BIT else "global"
    return _CHANNELS.get(name, "global")


def _with_message(raw: Data, data: Data) -> Data:
    if text := fields.message(raw.get("msg")):
        data["msg"] = text
    return data


def _player(raw: Data, roster: Roster, people: frozenset[str] = _ALONE) -> Data:
    """The player of an event that needs one. `people` are the keys of all player records that it may have.
    Raises Unfit or Contradiction."""
    if has_stray_ids(raw, people):
        roster.contradicted()
        raise Contradiction("ids stand outside of its record")
    record = raw.get("player")
    player = roster.complete(record)
    if player is None:
        if type(record) is not dict or not any(map(record.get, _IDS)):
            raise Unfit(Reason.NO_PLAYER, "player: is missing or has no id")
        raise Unfit(Reason.UNKNOWN_PLAYER, "player.gameId: is not one that was seen before")
    if _PLATFORM_IDS.isdisjoint(player):
        detail = "player: has no steamId and no platformId, and Takaro loses an event of such a player"
        raise Unfit(Reason.NO_PLATFORM_ID, detail)
    return player


def _other(record: Any, roster: Roster) -> Data | None:
    """A player that the event does not need. None without a platform id: Takaro would drop it all."""
    try:
        player = roster.complete(record)
    except Contradiction:
        return None
    return None if player is None or _PLATFORM_IDS.isdisjoint(player) else player
