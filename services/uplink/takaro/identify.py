"""Takaro's answer to an identify (protocol.md T2), and what a person can do about a refusal. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from services.relay.service.settings import IDENTITY_TOKEN_PLACE, REGISTRATION_TOKEN_PLACE
from services.uplink.takaro.texts import decoded, message_of

_GAME_SERVER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Takaro's id of a server has been a UUID so far. It goes into URLs and files of mods."""


@unique
class RefusalReason(StrEnum):
    """Why Takaro refuses an identify. The value labels a metric, so the set is fixed."""

    REGISTRATION_TOKEN = "registration_token"
    IDENTITY_TOKEN = "identity_token"
    PLAN_FULL = "plan_full"
    PLAN_OR_NAME = "plan_full_or_name"
    NAME_TAKEN = "name_taken"
    OTHER = "other"


_PLAN = "the plan at Takaro has no room for one more server"
_REMEDIES = {
    RefusalReason.REGISTRATION_TOKEN: f"check {REGISTRATION_TOKEN_PLACE}: Takaro's dashboard shows it"
    " (Settings, Game Servers, Add Game Server, Generic)",
    RefusalReason.IDENTITY_TOKEN: f"check {IDENTITY_TOKEN_PLACE}",
    RefusalReason.PLAN_FULL: _PLAN,
    RefusalReason.PLAN_OR_NAME: f"{_PLAN}, or Takaro does not take its name: remove a server there, or choose"
    " another name",
    RefusalReason.NAME_TAKEN: "its name is taken in this Takaro domain, also for a while after a server there"
    " was deleted: choose another name",
}
"""The fix, for refusals that stay until a person acts."""

_REASONS = {
    "registrationtoken": RefusalReason.REGISTRATION_TOKEN,
    "registration token": RefusalReason.REGISTRATION_TOKEN,
    "identitytoken": RefusalReason.IDENTITY_TOKEN,
    "max game servers": RefusalReason.PLAN_FULL,
}
"""Part of an error text of Takaro's, in lower case -> the reason."""

_STATUS_REASONS = {400: RefusalReason.PLAN_OR_NAME, 409: RefusalReason.NAME_TAKEN}
"""The same for refusals of Takaro's API, of which we get only the HTTP status (protocol.md T2). All other
statuses are faults of Takaro's that pass."""

_STATUS = re.compile(r"status code (\d{3})\b")


@dataclass(frozen=True, slots=True)
class Identified:
    """Takaro has accepted the identify; events may be sent."""

    game_server_id: str


@dataclass(frozen=True, slots=True)
class IdentifyRefused:
    """Takaro refused the identify. If there is a `remedy`, it goes on refusing until the operator acts."""

    text: str
    reason: RefusalReason = RefusalReason.OTHER

    @property
    def remedy(self) -> str:
        return _REMEDIES.get(self.reason, "")


def identify_answer(fields: dict[str, Any]) -> Identified | IdentifyRefused:
    """The answer in the payload of an `identifyResponse`."""
    # A transient fault is `"error": {}`: the key alone means a failure (protocol.md T2).
    if "error" in fields:
        error = decoded(fields["error"])
        text = message_of(error)
        reasons = (reason for words, reason in _REASONS.items() if words in text.lower())
        by_status = _STATUS_REASONS.get(_status(error, text), RefusalReason.OTHER)
        return IdentifyRefused(text or "Takaro gave no reason", next(reasons, by_status))
    game_server_id = fields.get("gameServerId")
    if isinstance(game_server_id, str) and _GAME_SERVER_ID.fullmatch(game_server_id):
        return Identified(game_server_id)
    return IdentifyRefused("Takaro's answer names no game server")


def _status(error: Any, text: str) -> int:
    """The HTTP status in a serialised HTTP error, 0 if there is none."""
    status = error.get("status") if isinstance(error, dict) else None
    if isinstance(status, int):
        return status
    found = _STATUS.search(text)
    return int(found[1]) if found else 0
