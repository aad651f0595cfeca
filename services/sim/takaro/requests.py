"""What Takaro puts into requests: a JSON string, whole rows where an id would do (protocol.md T15)."""

import uuid
from typing import Any

import orjson

PERMANENT_BANS: tuple[dict[str, Any], ...] = (
    {},
    {"expiresAt": None},
    {"expiresAt": "3021-01-01T00:00:00.000Z"},
)
"""The three ways in which a permanent ban arrives."""


def encode_args(args: Any) -> str:
    """`"{}"` when there are none."""
    return orjson.dumps({} if args is None else args).decode()


def player_row(game_id: str, name: str = "Player") -> dict[str, Any]:
    """A player-on-server row of several KB. Its gameId and name come late: they are lost to whoever
    cuts it at 1,023 bytes, and the first `name` in it is that of an item."""
    stamp = "2026-01-03T10:00:00.000Z"
    player_id = str(uuid.uuid4())
    inventory = [
        {
            "id": str(uuid.uuid4()),
            "createdAt": stamp,
            "updatedAt": stamp,
            "code": f"Item_{number}",
            "name": f'The "{number}" \\ item',
            "quantity": number,
            "quality": "pristine",
        }
        for number in range(15)
    ]
    roles = [
        {
            "id": str(uuid.uuid4()),
            "playerId": player_id,
            "roleId": str(uuid.uuid4()),
            "gameServerId": None,
            "expiresAt": "2030-01-01T00:00:00.000Z",
            "role": {
                "name": "Moderator",
                "system": False,
                "permissions": [{"permission": "ROOT", "count": 1}],
            },
        }
        for _ in range(3)
    ]
    return {
        "id": str(uuid.uuid4()),
        "createdAt": stamp,
        "updatedAt": stamp,
        "gameServerId": str(uuid.uuid4()),
        "playerId": player_id,
        "inventory": inventory,
        "roles": roles,
        "gameId": game_id,
        "name": name,
        "positionX": 1.5,
        "positionY": 2.5,
        "positionZ": 3.5,
        "currency": 100,
        "online": True,
        "ping": 40,
        "playtimeSeconds": 3600,
        "ip": None,
    }


def get_player(game_id: str) -> dict[str, Any]:
    """Args of getPlayer, getPlayerLocation and getPlayerInventory."""
    return {"gameId": game_id}


def send_message(message: str, recipient: str = "", *, whole_row: bool = True) -> dict[str, Any]:
    if not recipient:
        return {"message": message, "opts": {}}
    player = player_row(recipient) if whole_row else {"gameId": recipient}
    return {"message": message, "opts": {"recipient": player, "senderNameOverride": "Takaro"}}


def give_item(game_id: str, item: str, amount: int = 1, quality: str = "") -> dict[str, Any]:
    return {"player": {"gameId": game_id}, "item": item, "amount": amount, "quality": quality}


def teleport(game_id: str, x: float, y: float, z: float) -> dict[str, Any]:
    return {"player": player_row(game_id), "x": x, "y": y, "z": z}


def kick(game_id: str, reason: str) -> dict[str, Any]:
    return {"player": player_row(game_id), "reason": reason}


def ban(game_id: str, reason: str, **expiry: Any) -> dict[str, Any]:
    """`expiry` is nothing, or `expiresAt`; see PERMANENT_BANS."""
    return {"player": player_row(game_id), "reason": reason, **expiry}


def unban(game_id: str) -> dict[str, Any]:
    """The row itself, flat."""
    return player_row(game_id)


def console(command: str) -> dict[str, Any]:
    return {"command": command}
