"""What becomes of an event: refused with a text, lost without one, or kept (protocol.md T5 to T10)."""

from typing import Any

from services.sim.takaro.socket import Accepted
from tests.support.takaro_records import StrictServer
from tests.support.takaro_rules import event_error

INTERNAL_ERROR = "Internal error handling game event"
QUIET_S = 60.0
"""Each time that so long passes without an event, Takaro creates the server's emitter anew."""
EMITTER_GAP_S = 1.0
"""How long the emitter is away then."""
_PLACEHOLDERS = frozenset({"", "0", "Unknown", "N/A", "null", "undefined", "None"})


def refuse_event(server: StrictServer, payload: Any, now: float) -> str | None:
    """The text of the error frame, or None."""
    idle_s = now - server.last_event_at
    if idle_s >= QUIET_S and idle_s % QUIET_S < EMITTER_GAP_S:
        return INTERNAL_ERROR
    text = event_error(payload)
    if text is None:
        server.last_event_at = now
    return text


def lose_event(server: StrictServer, event: Accepted) -> str | None:
    """Why Takaro loses an event that it accepted, or None. Learns from the event who is online."""
    if event.type == "chat-message" and not event.data.get("msg"):
        return "chat without msg"
    for role in ("player", "attacker", "recipient"):
        player = event.data.get(role)
        if player and (reason := _resolve(server, player)):
            return f"{role}: {reason}"
    player = event.data.get("player")
    if player and event.type == "player-connected":
        server.online[player["gameId"]] = player["name"]
    elif player and event.type == "player-disconnected":
        server.online.pop(player["gameId"], None)
    return None


def _resolve(server: StrictServer, player: dict[str, Any]) -> str | None:
    """Find or create the player by platform id: each id belongs to one gameId for good."""
    game_id = player["gameId"]
    ids = [
        f"{name}:{player[name]}"
        for name in ("steamId", "epicOnlineServicesId", "xboxLiveId", "platformId")
        if player.get(name) and player[name] not in _PLACEHOLDERS
    ]
    if any(server.game_ids.get(platform_id, game_id) != game_id for platform_id in ids):
        return "Platform ID collision"
    if not ids and game_id not in server.game_ids.values():
        return "new player without a valid platform id"
    server.game_ids |= dict.fromkeys(ids, game_id)
    return None
