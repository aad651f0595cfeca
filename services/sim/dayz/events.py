"""How each generation writes the six events: one by a serializer, two by gluing text (contract.md A3)."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import orjson

from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Player, Position


class Channel(IntFlag):
    """Vanilla's bit flags, and the three that Expansion adds."""

    LOCAL = 0
    SYSTEM = 1
    ADMIN = 2
    DIRECT = 4
    MEGAPHONE = 8
    RADIO = 16
    PAS = 32
    BATTLEYE = 64
    TRANSPORT = 128
    GLOBAL = 256
    TEAM = 512


@dataclass(frozen=True, slots=True)
class Happening:
    """Something in the game that the mod reports; `type` is the event's name on the wire."""

    type: str
    player: Player | None = None
    attacker: Player | None = None
    text: str = ""
    channel: Channel = Channel.LOCAL
    weapon: str = ""
    entity: str = ""


def write_event(generation: Generation, happening: Happening, world_time: str) -> bytes:
    """One event as this generation puts it into a batch; `world_time` is in-game time, possibly ""."""
    if generation is Generation.FLAT:
        return orjson.dumps(_serialized(happening, world_time))
    return _glued(generation, happening, world_time).encode(errors="surrogateescape")


def write_batch(events: list[bytes]) -> bytes:
    """What is in the queue goes out as it is, valid or not."""
    return b'{"events":[' + b",".join(events) + b"]}"


def _serialized(happening: Happening, world_time: str) -> dict[str, Any]:
    """Every field of the class, whatever the type: "" and null and {} where it has no meaning."""
    is_log = happening.type == "log"
    chats = happening.type == "chat-message"
    dies = happening.type == "player-death"
    return {
        "type": happening.type,
        "timestamp": world_time,
        "msg": "" if is_log else happening.text,
        "channel": int(happening.channel) if chats else "",
        "player": _serialized_player(happening),
        "recipient": None,
        "attacker": _player_class(happening.attacker) if happening.attacker else {},
        "position": _position_class(happening.player.position) if dies and happening.player else None,
        "weapon": happening.weapon,
        "entity": happening.entity,
        "raw": happening.text if is_log else "",
    }


def _serialized_player(happening: Happening) -> dict[str, Any] | None:
    if happening.player is None:
        return None
    record = _player_class(happening.player)
    if happening.type == "player-disconnected":  # the identity is half gone: only steamId is left of it
        record |= {"gameId": "", "name": "", "ping": "0"}
    return record


def _player_class(player: Player) -> dict[str, Any]:
    return {
        "gameId": player.game_id,
        "name": player.name,
        "steamId": int(player.game_id),
        "ip": "",
        "ping": str(player.ping),
    }


def _position_class(position: Position) -> dict[str, Any]:
    x, y, z = position
    return {"x": f"{x:g}", "y": y, "z": z}


def _glued(generation: Generation, happening: Happening, world_time: str) -> str:
    parts = [f'"type":"{happening.type}"', f'"timestamp":"{world_time}"']
    if happening.type == "chat-message":
        parts.append(f'"channel":"{_channel_name(happening.channel)}"')
    message = happening.text
    if happening.type == "player-death" and happening.weapon:
        message = f"killed with {happening.weapon}"
    if message:
        parts.append(f'"msg":{quoted(generation, message)}')
    if happening.player:
        parts.append(f'"player":{_glued_player(generation, happening)}')
    if happening.attacker:
        parts.append(f'"attacker":{player_text(generation, happening.attacker)}')
    if happening.type == "player-death" and happening.player:
        parts.append(f'"position":{position_text(happening.player.position)}')
    if happening.type == "entity-killed":
        parts.append(f'"entity":{quoted(generation, happening.entity)}')
        parts.append(f'"weapon":{quoted(generation, happening.weapon)}')
    return "{" + ",".join(parts) + "}"


def _glued_player(generation: Generation, happening: Happening) -> str:
    assert happening.player is not None
    if generation is Generation.MIXED and happening.type == "player-disconnected":
        bis_id = happening.player.bis_id.rstrip("=")  # the identity is gone: the BIS id stands in for it
        return f'{{"gameId":"{bis_id}","name":"","platformId":"dayz:{bis_id}"}}'
    return player_text(generation, happening.player)


def player_text(generation: Generation, player: Player) -> str:
    bis_id = player.bis_id.rstrip("=")
    name = quoted(generation, player.name)
    return (
        f'{{"gameId":"{player.game_id}","name":{name},"steamId":"{player.game_id}",'
        f'"platformId":"dayz:{bis_id}","ping":{player.ping}}}'
    )


def position_text(position: Position) -> str:
    """Numbers as the engine's ToString prints them: six digits, `1e+06`, and `nan` where it is one."""
    x, y, z = position
    return f'{{"x":{x:g},"y":{y:g},"z":{z:g}}}'


def quoted(generation: Generation, text: str) -> str:
    """MIXED replaces `"` and nothing else; SCANNER also doubles backslashes. Control characters stay raw."""
    text = text.replace('"', "'")
    if generation is Generation.SCANNER:
        text = text.replace("\\", "\\\\")
    return f'"{text}"'


def _channel_name(channel: Channel) -> str:
    return "direct" if channel is Channel.LOCAL else (channel.name or "").lower()
