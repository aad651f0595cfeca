"""How each generation writes the result of an operation, or an error (protocol.md M8, M12)."""

from collections.abc import Callable
from typing import Any

import orjson

from services.sim.dayz.events import player_text, position_text, quoted
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Ban, Item, Player, Position, RefusedOperation

FLAT, MIXED, SCANNER = Generation.FLAT, Generation.MIXED, Generation.SCANNER


def write_result(
    generation: Generation, operation_id: str, action: str, args: dict[str, Any], value: Any
) -> bytes:
    """The body of a result POST. Raises RefusedOperation if this generation answers with an error."""
    result = _result(generation, action, args, value)
    ok = "1" if generation is FLAT else "true"
    error = "" if generation is SCANNER else ',"error":""'
    return f'{{"operationId":"{operation_id}","ok":{ok},"result":{result}{error}}}'.encode()


def write_error(generation: Generation, operation_id: str, text: str) -> bytes:
    """The body of a result POST with ok:false. Only FLAT escapes newlines in the text."""
    if generation is FLAT:
        return orjson.dumps({"operationId": operation_id, "ok": 0, "result": {}, "error": text})
    error = quoted(generation, text)
    result = '"result":null,' if generation is MIXED else ""
    return f'{{"operationId":"{operation_id}","ok":false,{result}"error":{error}}}'.encode()


def _result(generation: Generation, action: str, args: dict[str, Any], value: Any) -> str:
    """`value` as JSON, or as what this generation takes for JSON."""
    if action in _LISTS:
        field, wrapping, write = _LISTS[action]
        text = "[" + ",".join(write(generation, entry) for entry in value) + "]"
        return f'{{"{field}":{text}}}' if generation in wrapping else text
    newest = generation is SCANNER
    match action:
        case "testReachability":
            return '{"connectable":true}' if newest else '{"connectable":1,"reason":""}'
        case "getPlayer":
            if value:
                return _player(generation, value)
            game_id = args["gameId"]
            if not newest:
                raise RefusedOperation(f"Player not online:\n{game_id}")
            ids = f'"gameId":"{game_id}","name":"{game_id}","steamId":"{game_id}"'
            return f'{{{ids},"platformId":"steam:{game_id}","online":false}}'
        case "getPlayerLocation" if value:
            return position_text(value)
        case "getPlayerLocation":
            return "null" if generation is FLAT else '{"x":0,"y":0,"z":0}'
        case "executeConsoleCommand":
            success = "true" if newest else "1"
            return f'{{"success":{success},"rawResult":{_dumps(value)},"errorMessage":""}}'
    return "null" if newest else "{}"


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _player(generation: Generation, player: Player) -> str:
    if generation is SCANNER:
        return player_text(generation, player)
    return _dumps(
        {
            "gameId": player.game_id,
            "name": player.name,
            "steamId": player.game_id,
            "platformId": "" if generation is FLAT else "dayz:" + player.bis_id.rstrip("="),
            "ip": "",
            "ping": str(player.ping) if generation is FLAT else player.ping,
            "online": 1,
        }
    )


def _carried_item(generation: Generation, item: Item) -> str:
    if generation is FLAT:  # writes numbers as strings, and strings as numbers
        return _dumps({"name": item.code, "code": item.code, "amount": str(item.amount), "quality": 0})
    return (
        f'{{"name":"{item.code}","code":"{item.code}","amount":{item.amount},'
        f'"quality":{quoted(generation, item.quality)}}}'
    )


def _item(generation: Generation, item: tuple[str, str, str]) -> str:
    return _dumps(dict(zip(("code", "name", "description"), item, strict=True)))


def _entity(generation: Generation, entity: tuple[str, str]) -> str:
    kind = {FLAT: "", MIXED: "hostile", SCANNER: "entity"}[generation]
    return _dumps({"code": entity[0], "name": entity[1], "type": kind})


def _location(generation: Generation, location: tuple[str, Position, float]) -> str:
    name, position, radius = location
    size = {"radius": radius}
    if generation is FLAT:  # all fields of the class, although a location has one shape only
        size |= {"sizeX": 0.0, "sizeY": 0.0, "sizeZ": 0.0}
    place = dict(zip("xyz", position, strict=True))
    return _dumps({"position": place, "name": name, "code": name, **size})


def _ban(generation: Generation, ban: Ban) -> str:
    player = {"gameId": ban.game_id}
    if generation is not SCANNER:  # the newest mod does not store the names of banned players
        player["name"] = ban.name
    return _dumps({"player": player, "reason": ban.reason, "expiresAt": ban.expires_at})


_LISTS: dict[str, tuple[str, tuple[Generation, ...], Callable[[Generation, Any], str]]] = {
    "getPlayers": ("players", (FLAT, MIXED), _player),
    "getPlayerInventory": ("items", (FLAT,), _carried_item),
    "listItems": ("items", (FLAT,), _item),
    "listEntities": ("entities", (FLAT,), _entity),
    "listLocations": ("locations", (FLAT,), _location),
    "listBans": ("bans", (FLAT, MIXED), _ban),
}
"""Actions whose result is a list: the field in which these generations wrap it, and what writes an entry."""
