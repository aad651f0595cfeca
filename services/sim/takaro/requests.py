"""The arguments of Takaro's requests: whole records where an id would be enough (protocol.md T15)."""

import uuid
from typing import Any

import orjson


def encode_args(args: Any) -> str:
    """Arguments are sent as a JSON string, `"{}"` if there are none."""
    return orjson.dumps({} if args is None else args).decode()


def player_row(game_id: str) -> dict[str, Any]:
    """Takaro's record of a player, several KB. Its gameId and name come late: a mod that cuts the record at
    1,023 bytes does not see them. The first `name` in it is that of an item."""
    inventory = [
        {**_row(), "code": f"Item_{number}", "name": f'The "{number}" \\ item', "quantity": number}
        for number in range(15)
    ]
    permissions = [{"permission": "ROOT", "count": 1}]
    roles = [
        {**_row(), "role": {"name": "Moderator", "system": False, "permissions": permissions}}
        for _ in range(3)
    ]
    return {
        **_row(),
        "inventory": inventory,
        "roles": roles,
        "gameId": game_id,
        "name": "Player",
        "positionX": 1.5,
        "positionY": 2.5,
        "positionZ": 3.5,
        "currency": 100,
        "online": True,
        "ping": 40,
        "playtimeSeconds": 3600,
        "ip": None,
    }


def _row() -> dict[str, Any]:
    stamp = "2026-01-03T10:00:00.000Z"
    ids = {name: str(uuid.uuid4()) for name in ("id", "playerId", "gameServerId")}
    return {**ids, "createdAt": stamp, "updatedAt": stamp}


def get_player(game_id: str) -> dict[str, Any]:
    """For getPlayer, getPlayerLocation and getPlayerInventory."""
    return {"gameId": game_id}


def send_message(message: str, recipient: str = "") -> dict[str, Any]:
    opts = {"recipient": player_row(recipient), "senderNameOverride": "Takaro"} if recipient else {}
    return {"message": message, "opts": opts}


def give_item(game_id: str, item: str, amount: int = 1, quality: str = "") -> dict[str, Any]:
    return {"player": {"gameId": game_id}, "item": item, "amount": amount, "quality": quality}


def teleport(game_id: str, x: float, y: float, z: float) -> dict[str, Any]:
    return {"player": player_row(game_id), "x": x, "y": y, "z": z}


def kick(game_id: str, reason: str) -> dict[str, Any]:
    return {"player": player_row(game_id), "reason": reason}


def console(command: str) -> dict[str, Any]:
    return {"command": command}
