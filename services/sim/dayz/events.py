"""How each generation writes the six events: FLAT by a serializer, the others by gluing (protocol.md M8)."""

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
class GameIncident:
    """Something in the game that the mod reports; `type` is the event's name on the wire."""

    type: str
    player: Player | None = None
    attacker: Player | None = None
    text: str = ""
    channel: Channel = Channel.LOCAL
    weapon: str = ""
    entity: str = ""


def write_event(generation: Generation, incident: GameIncident, world_time: str) -> bytes:
    """One event as this generation writes it. `world_time` is in-game time, or ""."""
    if generation is Generation.FLAT:
        return orjson.dumps(_serialized(incident, world_time))
    return _glued(generation, incident, world_time).encode(errors="surrogateescape")


def write_batch(events: list[bytes]) -> bytes:
    """The body of a POST. The events go into it as they are, valid or not."""
    return b'{"events":[' + b",".join(events) + b"]}"


def _serialized(incident: GameIncident, world_time: str) -> dict[str, Any]:
    """All fields of the class for every type of event: "", null or {} where a field has no meaning."""
    is_log = incident.type == "log"
    chats = incident.type == "chat-message"
    dies = incident.type == "player-death"
    player = _player_class(incident.player) if incident.player else None
    if player and incident.type == "player-disconnected":  # of the identity only steamId is left
        player |= {"gameId": "", "name": "", "ping": "0"}
    x, y, z = incident.player.position if incident.player else (0, 0, 0)
    return {
        "type": incident.type,
        "timestamp": world_time,
        "msg": "" if is_log else incident.text,
        "channel": int(incident.channel) if chats else "",
        "player": player,
        "recipient": None,
        "attacker": _player_class(incident.attacker) if incident.attacker else {},
        "position": {"x": f"{x:g}", "y": y, "z": z} if dies and incident.player else None,
        "weapon": incident.weapon,
        "entity": incident.entity,
        "raw": incident.text if is_log else "",
    }


def _player_class(player: Player) -> dict[str, Any]:
    return {
        "gameId": player.game_id,
        "name": player.name,
        "steamId": int(player.game_id),
        "ip": "",
        "ping": str(player.ping),
    }


def _glued(generation: Generation, incident: GameIncident, world_time: str) -> str:
    parts = [f'"type":"{incident.type}"', f'"timestamp":"{world_time}"']
    if incident.type == "chat-message":
        name = "direct" if incident.channel is Channel.LOCAL else (incident.channel.name or "").lower()
        parts.append(f'"channel":"{name}"')
    message = incident.text
    if incident.type == "player-death" and incident.weapon:
        message = f"killed with {incident.weapon}"
    if message:
        parts.append(f'"msg":{quoted(generation, message)}')
    if player := incident.player:
        is_gone = generation is Generation.MIXED and incident.type == "player-disconnected"
        bis_id = player.bis_id.rstrip("=")  # takes the place of the identity, which is gone
        gone = f'{{"gameId":"{bis_id}","name":"","platformId":"dayz:{bis_id}"}}'
        parts.append(f'"player":{gone if is_gone else player_text(generation, player)}')
    if incident.attacker:
        parts.append(f'"attacker":{player_text(generation, incident.attacker)}')
    if incident.type == "player-death" and player:
        parts.append(f'"position":{position_text(player.position)}')
    if incident.type == "entity-killed":
        parts.append(f'"entity":{quoted(generation, incident.entity)}')
        parts.append(f'"weapon":{quoted(generation, incident.weapon)}')
    return "{" + ",".join(parts) + "}"


def player_text(generation: Generation, player: Player) -> str:
    bis_id = player.bis_id.rstrip("=")
    name = quoted(generation, player.name)
    return (
        f'{{"gameId":"{player.game_id}","name":{name},"steamId":"{player.game_id}",'
        f'"platformId":"dayz:{bis_id}","ping":{player.ping}}}'
    )


def position_text(position: Position) -> str:
    """Numbers as the engine's ToString prints them: six digits, `1e+06`, `nan`."""
    x, y, z = position
    return f'{{"x":{x:g},"y":{y:g},"z":{z:g}}}'


def quoted(generation: Generation, text: str) -> str:
    """MIXED replaces `"`; SCANNER also doubles backslashes. Both leave control characters as they are."""
    text = text.replace('"', "'")
    if generation is Generation.SCANNER:
        text = text.replace("\\", "\\\\")
    return f'"{text}"'
