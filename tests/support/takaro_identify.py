"""Which identifies Takaro takes (protocol.md T2)."""

from collections.abc import Container
from typing import Any

API_CREDENTIAL = "credential-of-takaro-for-its-own-api"
"""Takaro's own secret, which it puts into each refusal of its API. Nobody may ever see it."""


def identify_error(
    payload: Any, registration_tokens: Container[str], known: Container[str], names: Container[str] = ()
) -> dict[str, Any] | None:
    """The error object with which Takaro refuses this identify, or None.

    `known`: the identity tokens that have a server; `names`: the names of all servers.
    """
    if not isinstance(payload, dict) or not payload:
        return in_words("No payload provided")
    for name in ("identityToken", "registrationToken"):
        if not payload.get(name):
            return in_words(f"No {name} provided")
        if not isinstance(payload[name], str):
            return in_words(f"Invalid {name} provided")
    if payload["registrationToken"] not in registration_tokens:
        return in_words("Invalid registrationToken provided")
    if payload["identityToken"] in known:
        return None  # the name is used at creation only
    if not 3 <= len(server_name(payload)) <= 50:
        return by_status(400)
    return by_status(409) if server_name(payload) in names else None


def in_words(text: str) -> dict[str, Any]:
    """How the connector itself refuses; "" is a fault within Takaro, which it does not explain."""
    return {"name": "BadRequestError", "message": text, "http": 400} if text else {}


def by_status(status: int) -> dict[str, Any]:
    """How Takaro's API refuses: its client's HTTP error, without the text of the API."""
    return {
        "message": f"Request failed with status code {status}",
        "name": "AxiosError",
        "stack": "AxiosError: Request failed\n    at settle (axios.js:1)",
        "config": {"url": "/gameserver", "headers": {"Authorization": f"Bearer {API_CREDENTIAL}"}},
        "code": "ERR_BAD_REQUEST" if status < 500 else "ERR_BAD_RESPONSE",
        "status": status,
    }


def server_name(payload: dict[str, Any]) -> str:
    """The name of a new server: the one in its identify, else the identity token."""
    name = payload.get("name")
    return name if isinstance(name, str) else str(payload["identityToken"])
