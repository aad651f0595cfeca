"""The agent's settings: the variables of the old bridge, and the address that the mod has.

Pure, except that it looks for the folder and reads the file that may hold the address.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from services.relay.protocol.errors import ConfigError
from services.relay.service.http.addresses import is_url
from services.relay.service.text_files import is_there, read_text, unquoted, why_unreadable

DENY = (
    r"\[Takaro\]\[DBG\]",
    "BattlEye Server: RCon",
    "Recv error",
    "Warning Message",
    "Cannot register",
)
"""Lines that the old bridge left out by default."""

MAX_PER_S = 20.0

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\{[^}]*\}|.", re.DOTALL)
"""A piece of a regular expression that no comma splits: an escape, a class, a repeat, a character."""


class AgentSettings(NamedTuple):
    """`url` is a secret, because it holds the mod key. Lines that match one of `deny` are not sent."""

    url: str
    logs: Path
    deny: tuple[re.Pattern[str], ...]
    max_per_s: float
    state: Path


def read(logs: Path | None, state: Path, environ: Mapping[str, str]) -> AgentSettings:
    """The settings; `logs` beats DAYZ_LOG_DIR. Raises ConfigError, whose text never shows the address."""
    given = {name: text.strip() for name, text in environ.items() if text.strip()}
    # `docker run --env-file` leaves the quotation marks around a value. In a pattern they may be intended.
    given = {name: text if name == "DAYZ_LOG_DENY" else unquoted(text) for name, text in given.items()}
    folder = logs or (Path(given["DAYZ_LOG_DIR"]) if "DAYZ_LOG_DIR" in given else None)
    if folder is None:
        raise ConfigError(
            "DAYZ_LOG_DIR: is missing: set it to the folder of the DayZ server's logs (-profiles=)"
        )
    if not is_there(folder) or not folder.is_dir():
        raise ConfigError(f"DAYZ_LOG_DIR: there is no folder {folder}")
    return AgentSettings(
        _url(given),
        folder,
        _deny(given.get("DAYZ_LOG_DENY")),
        _per_s(given.get("DAYZ_LOG_MAX_PER_SEC")),
        state,
    )


def _url(given: Mapping[str, str]) -> str:
    url = given.get("DAYZ_RELAY_URL", "")
    if file := given.get("DAYZ_RELAY_URL_FILE"):
        if url:
            raise ConfigError("DAYZ_RELAY_URL_FILE: DAYZ_RELAY_URL is set as well: keep one of the two")
        try:
            url = read_text(Path(file)).strip()
        except (OSError, ValueError) as error:
            reason = why_unreadable(Path(file), error)
            raise ConfigError(f"DAYZ_RELAY_URL_FILE: {file} cannot be read: {reason}") from None
    if not url:
        raise ConfigError("DAYZ_RELAY_URL: is missing: set it to what the mod has as TakaroApiUrl")
    if not is_url(url, "http", "https") or re.search("[^!-~]|[?#]|//[^/]*@", url):
        raise ConfigError("DAYZ_RELAY_URL: must be an address as http://relay:8088/k/<mod key>")
    return url


def _deny(text: str | None) -> tuple[re.Pattern[str], ...]:
    patterns = []
    for part in DENY if text is None else split_patterns(text):
        try:
            patterns.append(re.compile(part))
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"DAYZ_LOG_DENY: {part!r} is no regular expression: {error}") from None
    return tuple(patterns)


def split_patterns(text: str) -> list[str]:
    r"""The expressions of a list, without blanks around them; empty ones are left out.

    A comma within `{}`, `[]` or `()`, or behind a backslash, belongs to its expression and does not separate.
    An expression with a bracket that is never closed takes the rest of the text. It does not compile, so the
    caller can show it as it was written.
    """
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth = max(0, depth + (token == "(") - (token == ")"))
        if token == "," and not depth:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts if part.strip()]


def _per_s(text: str | None) -> float:
    if text is None:
        return MAX_PER_S
    if not re.fullmatch(r"\d{1,6}", text) or int(text) == 0:
        raise ConfigError("DAYZ_LOG_MAX_PER_SEC: must be a number of lines a second, as in 20")
    return float(text)
