"""Reads the settings of the bridge that the relay replaces. Pure: text and environment in, values out.

Takaro knows a server by its identity token, so the token must be exactly what the old bridge sent. That one
removed no quotes, and did not see a key in another spelling than its own.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from services.relay.protocol.errors import ConfigError
from services.relay.service.text_files import unquoted

DEFAULT_URL = "wss://connect.takaro.io/"
DEFAULT_PORT = 8088
DLL_PORT = 8089
"""Port of the bridge that was a DLL of the game server. It had the same file with some more keys."""

DEFAULT_HOST = "127.0.0.1"
PLACEHOLDER = "PASTE_TOKEN_HERE"

ENVIRONMENT = {
    "TAKARO_REGISTRATION_TOKEN": "registrationToken",
    "TAKARO_SERVER_NAME": "serverName",
    "TAKARO_IDENTITY_TOKEN": "identityToken",
    "TAKARO_WS_URL": "takaroWsUrl",
    "BRIDGE_LOCAL_PORT": "localPort",
    "BRIDGE_BIND_ADDR": "bindAddress",
}
"""Variables that overrode its file."""

CONFIG_VARIABLE = "BRIDGE_CONFIG"  # the variable with the path of its file

_NAMES = {name.lower(): name for name in ENVIRONMENT.values()}
_LOGS = "`dayz-relay agent` sends log lines, and reads the variables DAYZ_LOG_…"
_WHY_IGNORED = {
    "DAYZ_LOG_DIR": _LOGS,
    "DAYZ_LOG_DENY": _LOGS,
    "DAYZ_LOG_MAX_PER_SEC": _LOGS,
    "BRIDGE_POLL_WATCHDOG_SEC": "the relay watches the mod by itself",
}
_OF_THE_DLL = {
    "profilesdir": _LOGS,
    "forwardloglines": _LOGS,
    "beservercfgpath": "RCON is not part of the relay",
}


class OldBridge(NamedTuple):
    """One server as the old bridge had it. `told` are lines for a person: what was ignored, and why."""

    name: str
    identity_token: str
    registration_token: str
    url: str
    host: str
    port: int
    told: tuple[str, ...]


def read(text: str, environ: Mapping[str, str]) -> OldBridge:
    """The settings of TakaroConfig.txt under the environment. Raises ConfigError; no line shows a secret."""
    told: list[str] = []
    values, dll = _read_lines(text, told)
    if dll:
        told.append(
            "this is the bridge that is a DLL: while the DayZ server is stopped, take winmm.dll and "
            "dayz_takaro.dll out of its folder"
        )
    for name, key in ENVIRONMENT.items():
        if environ.get(name):
            values[key] = environ[name]
    told += [f"{name} is ignored: {_WHY_IGNORED[name]}" for name in sorted(environ) if name in _WHY_IGNORED]
    server_name = values.get("serverName", "")
    if not server_name:
        raise ConfigError("serverName is missing: without it the old bridge did not start, nor can this")
    identity = values.get("identityToken") or server_name
    if identity != unquoted(identity):
        told.append("the quotes are part of the identity token: the old bridge sent them to Takaro like that")
    token = unquoted(values.get("registrationToken", ""))
    if token in ("", PLACEHOLDER):
        token = ""
        told.append("there is no registrationToken: put the one of Takaro's dashboard into relay.toml")
    return OldBridge(
        _display_name(unquoted(server_name), told),
        identity,
        token,
        unquoted(values.get("takaroWsUrl", "")) or DEFAULT_URL,
        unquoted(values.get("bindAddress", "")) or DEFAULT_HOST,
        _port(unquoted(values.get("localPort", "")) or str(DLL_PORT if dll else DEFAULT_PORT)),
        tuple(told),
    )


def _read_lines(text: str, told: list[str]) -> tuple[dict[str, str], bool]:
    """The values by their names, and whether the file is one of the DLL."""
    given_values: list[tuple[str, str]] = []
    dll = False
    # strip() takes off what JavaScript's trim() does, and some control characters that no value may have.
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        given, equals, value = (part.strip() for part in line.partition("="))
        dll = dll or bool(equals) and given.lower() in _OF_THE_DLL
        if why := _why_ignored(given, equals):
            told.append(f"line {number}{why}")
        else:
            given_values.append((given, value))
    values = {_NAMES[given.lower()]: value for given, value in given_values}
    return values | {given: value for given, value in given_values if given in values}, dll


def _why_ignored(given: str, equals: str) -> str:
    """Why the old bridge or the relay ignores a line, or ""."""
    name = _NAMES.get(given.lower())
    if not equals:
        return " is ignored: it is not written as key=value"
    if name is None:
        why = _OF_THE_DLL.get(given.lower()) or _WHY_IGNORED.get(given) or "the relay has no such setting"
        return f", {given[:40]!r}, is ignored: {why}"
    if name == "identityToken" and given != name:
        return f", {given}, is ignored: the old bridge saw only {name}, and used serverName"
    return ""


def _display_name(name: str, told: list[str]) -> str:
    if 3 <= len(name) <= 50:
        return name
    told.append("the name is made to have 3 to 50 characters; Takaro keeps the one it has for a known server")
    return name[:50] if len(name) > 50 else f"{name} DayZ".strip()


def _port(text: str) -> int:
    digits = re.match(r"\+?(\d{1,5})", text)  # the old bridge read the leading digits
    if not digits or not 0 < int(digits[1]) <= 65535:
        raise ConfigError(f"localPort: {text[:20]!r} is no port number")
    return int(digits[1])
