"""Maps a mod's results to the shapes of protocol.md T14.

Takaro refuses a whole list for one bad entry, so an entry that cannot become valid is left out. `map_result`
never raises, whatever a mod answers.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from services.modapi.dialect import fields
from services.modapi.dialect.bodies import levels
from services.modapi.dialect.identity import Contradiction, has_stray_ids, identity_of
from services.relay.protocol import dates
from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import ENTITY_TYPES, Action

ERROR_CHARS = 500
RAW_RESULT_CHARS = 16_000
DESCRIPTION_CHARS = 1_000
METADATA_BYTES = 4_000
METADATA_LEVELS = 4

_ABOUT_ONE_PLAYER = (Action.GET_PLAYER, Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY)
_NO_SUCH_PLAYER = re.compile(r"offline|not (?:be )?(?:online|found|connected)|no such player", re.IGNORECASE)
_IN_A_BAN = frozenset({"player"})
_WRAPPERS = ("players", "items", "inventory", "entities", "locations", "bans")

Row = dict[str, Any]  # of a list of the mod


class Unshaped(Exception):
    """A result has no known shape of its action. Mappers raise it; `map_result` catches it."""


def map_result(action: Action, ok: Any, result: Any, error: Any) -> Outcome:
    """The outcome of a mod's result with these fields.

    A read of a player whom the game server does not know becomes `Outcome(None, "")`. A console command that
    failed becomes a value: Takaro shows its text, but would show an error as bad data.
    """
    if not fields.flag(ok) and ((failure := _error_text(error)) or ok is not None):
        if action in _ABOUT_ONE_PLAYER and _NO_SUCH_PLAYER.search(failure):
            return Outcome()
        failure = failure or "the game server reports a failure and no reason"
        if action is Action.EXECUTE_CONSOLE_COMMAND:
            return Outcome({"rawResult": failure, "success": False, "errorMessage": failure})
        return Outcome(error=failure)
    # A mod may post a result of what the relay answers by itself: nobody waits for it.
    read = RESULT_MAPPERS.get(action)
    try:
        return Outcome(read(result) if read else {})
    except Unshaped as unshaped:
        return Outcome(error=f"the game server's answer to {action.value} cannot be used: {unshaped}")


def player(raw: Any) -> dict[str, Any] | None:
    """A player record in Takaro's form, without the roster; None if it means no player, or several."""
    if type(raw) is not dict:
        return None
    try:
        identity = identity_of(raw)
    except Contradiction:
        return None
    game_id = identity.game_id or identity.steam_id
    if not game_id:
        return None
    return _without_unset(
        gameId=game_id,
        name=identity.name or fields.DEFAULT_NAME,
        steamId=identity.steam_id,
        platformId=identity.platform_id,
        ip=fields.address(raw.get("ip")),
        ping=fields.number(raw.get("ping")),
    )


def _player(result: Any) -> dict[str, Any] | None:
    """The player who was asked for, or None if no player with that id is online.

    The newest mod makes up a record from the id of a player who is offline, and may set `online` to false.
    """
    if type(result) is list and result:
        raise Unshaped("it holds several players")
    record = player(result)
    if record is None:
        return None
    online = result.get("online")
    if online in (None, "", {}):
        return record if "platformId" in record or identity_of(result).name else None
    return record if fields.flag(online) else None


def _location(result: Any) -> dict[str, Any] | None:
    place = fields.position(result)
    # For a player who is offline, one mod answers null, another one 0, 0, 0 (protocol.md M12).
    return place if place is not None and any(place.values()) else None


def _console(result: Any) -> dict[str, Any]:
    if type(result) is not dict:
        result = {"rawResult": result, "success": True}
    return _without_unset(
        rawResult=fields.lines(result.get("rawResult"), RAW_RESULT_CHARS),
        success=fields.flag(result.get("success", True)),
        errorMessage=_error_text(result.get("errorMessage")) or None,
    )


def _entries(read: Callable[[Any], Any], result: Any) -> list[Any]:
    """The entries of the list in a result that `read` can read."""
    return [entry for row in rows_of(result) if type(row) is dict and (entry := read(row))]


def rows_of(result: Any) -> list[Any]:
    """The list in a result: by itself, or in an object."""
    if type(result) is dict and result:
        wrapped = [result[name] for name in _WRAPPERS if name in result]
        result = wrapped[0] if wrapped else result
    if type(result) is not list:
        if result:
            raise Unshaped("it holds no list")
        return []  # null, "" and {} are how a serializer writes an empty list
    if result and {list}.issuperset(map(type, result)):  # a repeated key has the list of its values
        raise Unshaped("it holds several lists")
    return result


def _named(raw: Row) -> Row | None:
    """`code` and `name`, of which one may be missing, and `description`."""
    code, name = fields.word(raw.get("code")), fields.word(raw.get("name"))
    if not (code or name):
        return None
    row = {"code": code or name, "name": name or code}
    if description := fields.line(raw.get("description"), DESCRIPTION_CHARS):
        row["description"] = description
    return row


def _item(raw: Row) -> Row | None:
    if (item := _named(raw)) is None:
        return None
    if (amount := fields.number(raw.get("amount"))) is not None:
        item["amount"] = amount
    if quality := fields.word(raw.get("quality")):
        item["quality"] = quality
    return item


def _entity(raw: Row) -> Row | None:
    if (entity := _named(raw)) is None:
        return None
    kind = fields.word(raw.get("type")).lower()
    # Some mods write "entity" for every type. We do not guess from the class name: that would be wrong for
    # modded creatures.
    entity["type"] = kind if kind in ENTITY_TYPES else "neutral"
    return _with_metadata(entity, raw)


def _place(raw: Row) -> Row | None:
    if (position := fields.position(raw.get("position"))) is None:
        return None
    place = {"position": position, "name": fields.word(raw.get("name")) or fields.word(raw.get("code"))}
    if not place["name"]:
        return None
    if code := fields.word(raw.get("code")):
        place["code"] = code
    return _with_metadata(place | _extent(raw), raw)


def _extent(raw: Row) -> dict[str, int | float]:
    """A circle, without a size of radius 0, or a rectangle. Mods write 0 for fields of the other shape."""
    radius = fields.number(raw.get("radius")) or 0
    sizes = {key: fields.number(raw.get(key)) or 0 for key in ("sizeX", "sizeY", "sizeZ")}
    if radius <= 0 and any(sizes.values()) and min(sizes.values()) >= 0:
        return sizes
    return {"radius": max(0, radius)}


def _ban(raw: Row) -> Row | None:
    # Some mods write the player as an object with only an id, others write its id into the ban.
    nested = raw.get("player")
    if nested and type(nested) in (dict, list):
        banned = None if has_stray_ids(raw, _IN_A_BAN) else player(nested)
    else:
        banned = player(raw)
    if banned is None:
        return None
    if banned["name"] == fields.DEFAULT_NAME:
        banned["name"] = banned["gameId"]
    try:
        until = dates.read_end(raw.get("expiresAt"))
    except ValueError:
        return None  # without a date, Takaro would make the ban permanent
    return {
        "player": banned,
        "reason": fields.line(raw.get("reason"), ERROR_CHARS),
        "expiresAt": dates.iso(until) if until else None,
    }


def _with_metadata(record: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    metadata = raw.get("metadata")
    if type(metadata) is dict and metadata and levels(metadata) <= METADATA_LEVELS:
        kept = _metadata(metadata)
        if len(orjson.dumps(kept)) <= METADATA_BYTES:
            record["metadata"] = kept
    return record


def _metadata(value: Any) -> Any:
    """Free data of the mod, with texts and numbers read as all others."""
    if type(value) is dict:
        return {fields.word(name): _metadata(one) for name, one in value.items()}
    if type(value) is list:
        return [_metadata(one) for one in value]
    if type(value) is str:
        return fields.line(value, DESCRIPTION_CHARS)
    return value if type(value) is bool else fields.number(value)


def _without_unset(**record: Any) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}


def _error_text(value: Any) -> str:
    return " ".join(fields.line(value, ERROR_CHARS).split())


_ROW_READERS: dict[Action, Callable[[Any], dict[str, Any] | None]] = {
    Action.GET_PLAYERS: player,
    Action.GET_PLAYER_INVENTORY: _item,
    Action.LIST_ITEMS: _item,
    Action.LIST_ENTITIES: _entity,
    Action.LIST_LOCATIONS: _place,
    Action.LIST_BANS: _ban,
}
LISTS = frozenset(_ROW_READERS)
_WITHOUT_RESULT = (
    *(Action.SEND_MESSAGE, Action.GIVE_ITEM, Action.TELEPORT_PLAYER, Action.KICK_PLAYER),
    *(Action.BAN_PLAYER, Action.UNBAN_PLAYER, Action.SHUTDOWN),
)

RESULT_MAPPERS: dict[Action, Callable[[Any], Any] | None] = {
    Action.GET_PLAYER: _player,
    Action.GET_PLAYER_LOCATION: _location,
    Action.EXECUTE_CONSOLE_COMMAND: _console,
    **{action: partial(_entries, read) for action, read in _ROW_READERS.items()},
    **dict.fromkeys(_WITHOUT_RESULT),  # Takaro reads nothing but an error there
}
