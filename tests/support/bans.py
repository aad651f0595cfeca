"""Takaro's requests about bans, which the demo never makes."""

from typing import Any

from services.sim.takaro.requests import player_row

PERMANENT_BANS: tuple[dict[str, Any], ...] = (
    {},
    {"expiresAt": None},
    {"expiresAt": "3021-01-01T00:00:00.000Z"},
)
"""The three ways in which Takaro says that a ban does not end."""


def ban(game_id: str, reason: str, **expiry: Any) -> dict[str, Any]:
    """`expiry` is empty, or holds `expiresAt`."""
    return {"player": player_row(game_id), "reason": reason, **expiry}


def unban(game_id: str) -> dict[str, Any]:
    """The record is not nested in `player`."""
    return player_row(game_id)
