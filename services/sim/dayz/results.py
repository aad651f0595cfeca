"""How each generation writes the result of an operation, or an error (protocol.md M8, M12)."""

from collections.abc import Callable
from typing import Any

import orjson

from services.sim.dayz.events import player_text, position_text, quoted
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Ban, Item, Player, RefusedOperation

FLAT, MIXED, SCANNER = Generation.FLAT, Generation.MIXED, Generation.SCANNER


def write_result(
    generation: Generation, operation_id: str, action: str, args: dict[str, Any], value: Any
) -> bytes:
    """The body of a result POST. Raises RefusedOperation if this generation answers with an error."""
    writer = _WRITERS.get(action)
    result = writer(generation, args, value) if writer else ("{}" if generation is not SCANNER else "null")
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


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _listed(
    generation: Generation, wrapper: str, entries: list[str], wrapped_by: tuple[Generation, ...]
) -> str:
    text = "[" + ",".join(entries) + "]"
    return f'{{"{wrapper}":{text}}}' if generation in wrapped_by else text


def _reachable(generation: Generation, args: dict[str, Any], value: bool) -> str:
    return '{"connectable":true}' if generation is SCANNER else '{"connectable":1,"reason":""}'


def _player(generation: Generation, args: dict[str, Any], player: Player | None) -> str:
    if player is not None:
        return _player_record(generation, player)
    if generation is SCANNER:  # it has a record even of a player who is offline
        game_id = args["gameId"]
        known = (
            f'"gameId":"{game_id}","name":"{game_id}","steamId":"{game_id}","platformId":"steam:{game_id}"'
        )
        return f'{{{known},"online":false}}'
    raise RefusedOperation(f"Player not online:\n{args['gameId']}")


def _player_record(generation: Generation, player: Player) -> str:
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


def _players(generation: Generation, args: dict[str, Any], players: list[Player]) -> str:
    entries = [_player_record(generation, player) for player in players]
    return _listed(generation, "players", entries, (FLAT, MIXED))


def _location(generation: Generation, args: dict[str, Any], position: Any) -> str:
    if position is None:
        return "null" if generation is FLAT else '{"x":0,"y":0,"z":0}'
    return position_text(position)


def _inventory(generation: Generation, args: dict[str, Any], items: list[Item]) -> str:
    entries = [_item(generation, item) for item in items]
    return _listed(generation, "items", entries, (FLAT,))


def _item(generation: Generation, item: Item) -> str:
    if generation is FLAT:  # writes numbers as strings, and strings as numbers
        return _dumps({"name": item.code, "code": item.code, "amount": str(item.amount), "quality": 0})
    return (
        f'{{"name":"{item.code}","code":"{item.code}","amount":{item.amount},'
        f'"quality":{quoted(generation, item.quality)}}}'
    )


def _items(generation: Generation, args: dict[str, Any], items: Any) -> str:
    entries = [_dumps({"code": code, "name": name, "description": about}) for code, name, about in items]
    return _listed(generation, "items", entries, (FLAT,))


def _entities(generation: Generation, args: dict[str, Any], entities: Any) -> str:
    kind = {FLAT: "", MIXED: "hostile", SCANNER: "entity"}[generation]
    entries = [_dumps({"code": code, "name": name, "type": kind}) for code, name in entities]
    return _listed(generation, "entities", entries, (FLAT,))


def _locations(generation: Generation, args: dict[str, Any], locations: Any) -> str:
    entries = []
    for name, position, radius in locations:
        size = {"radius": radius}
        if generation is FLAT:  # all fields of the class, although a location has one shape only
            size |= {"sizeX": 0.0, "sizeY": 0.0, "sizeZ": 0.0}
        place = dict(zip("xyz", position, strict=True))
        entries.append(_dumps({"position": place, "name": name, "code": name, **size}))
    return _listed(generation, "locations", entries, (FLAT,))


def _bans(generation: Generation, args: dict[str, Any], bans: list[Ban]) -> str:
    return _listed(generation, "bans", [_ban(generation, ban) for ban in bans], (FLAT, MIXED))


def _ban(generation: Generation, ban: Ban) -> str:
    player = {"gameId": ban.game_id}
    if generation is not SCANNER:  # the newest mod does not store the names of banned players
        player["name"] = ban.name
    return _dumps({"player": player, "reason": ban.reason, "expiresAt": ban.expires_at})


def _console(generation: Generation, args: dict[str, Any], text: str) -> str:
    success = "true" if generation is SCANNER else "1"
    return f'{{"success":{success},"rawResult":{_dumps(text)},"errorMessage":""}}'


_WRITERS: dict[str, Callable[[Generation, dict[str, Any], Any], str]] = {
    "testReachability": _reachable,
    "getPlayer": _player,
    "getPlayers": _players,
    "getPlayerLocation": _location,
    "getPlayerInventory": _inventory,
    "listItems": _items,
    "listEntities": _entities,
    "listLocations": _locations,
    "listBans": _bans,
    "executeConsoleCommand": _console,
}
