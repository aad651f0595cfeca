"""What becomes of an event: refused with a text, lost without one, or kept (protocol.md T5 to T10)."""

from typing import Any

from services.sim.takaro.faults import SimFaults
from services.sim.takaro.records import Accepted, GameServer
from services.sim.takaro.rules import event_error

INTERNAL_ERROR = "Internal error handling game event"
EMITTER_GAP_S = 1.0  # how long a re-created emitter is away
_PLACEHOLDERS = frozenset({"", "0", "Unknown", "N/A", "null", "undefined", "None"})


class SimIntake:
    """Decides by itself; the time is an argument. `quiet_s`: after so long without an event the
    emitter is re-created, and again after each further such time."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s

    def refuse(self, server: GameServer, faults: SimFaults, payload: Any, now: float) -> str | None:
        """The text of the error frame, or None. `faults` are those of all servers."""
        gap = self._in_emitter_gap(now - server.last_event_at)
        if gap or not server.known or faults.take_internal_error() or server.faults.take_internal_error():
            return INTERNAL_ERROR
        text = event_error(payload)
        if text is None:
            server.last_event_at = now
        return text

    def lose(self, server: GameServer, event: Accepted) -> str | None:
        """Why Takaro loses an event that it took, or None; learns who is online from it."""
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

    def _in_emitter_gap(self, idle_s: float) -> bool:
        return idle_s >= self._quiet_s and idle_s % self._quiet_s < EMITTER_GAP_S


def _resolve(server: GameServer, player: dict[str, Any]) -> str | None:
    """Find or create the player by platform id: each belongs to one gameId for good."""
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
    for platform_id in ids:
        server.game_ids[platform_id] = game_id
    return None
