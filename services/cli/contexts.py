"""The relays that a person works with, by names: `context.toml` in the folder for settings of this user."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.cli import private_files
from services.relay.protocol.errors import ConfigError
from services.relay.service.text_files import read_text, why_unreadable

LOCAL = "local"  # the name of the relay that relay.toml describes, on this machine


class Context(NamedTuple):
    name: str
    url: str
    token: str


@dataclass
class Contexts:
    """`current` is the name of the one in use; LOCAL: none of them."""

    current: str = LOCAL
    known: dict[str, Context] = field(default_factory=dict)


def path(environ: Mapping[str, str] = os.environ) -> Path:
    if os.name == "nt":
        base = environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        base = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "dayz-relay" / "context.toml"


def read() -> Contexts:
    """All that are known. Raises ConfigError."""
    import tomllib  # takes 10 ms to load

    file = path()
    try:
        found = tomllib.loads(read_text(file))
        known = {
            name: Context(name, str(one["url"]), str(one.get("token", "")))
            for name, one in found.get("context", {}).items()
        }
        return Contexts(str(found.get("current", LOCAL)), known)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {why_unreadable(file, error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: is damaged ({error}): mend it, or delete it") from None


def add(context: Context) -> Path:
    """Keep a context, and return the file. Raises ConfigError."""
    if not re.fullmatch("[a-zA-Z0-9_-]{1,63}", context.name) or context.name == LOCAL:
        raise ConfigError(f"a context needs a name of letters, digits, - and _, other than {LOCAL}")
    with _changing() as contexts:
        contexts.known[context.name] = context
    return path()


def use(name: str) -> None:
    """Make it the one in use. Raises ConfigError."""
    with _changing() as contexts:
        contexts.current = name if name == LOCAL else _named(name, contexts.known).name


def remove(name: str) -> None:
    """Forget it. Raises ConfigError."""
    with _changing() as contexts:
        _named(name, contexts.known)
        del contexts.known[name]
        if contexts.current == name:
            contexts.current = LOCAL


def chosen(name: str | None, is_local: bool) -> Context | None:
    """The context by its name, or the one in use; None: the relay on this machine. Raises ConfigError."""
    if name == LOCAL or (is_local and not name):
        return None
    contexts = read()
    name = name or contexts.current
    return None if name == LOCAL else _named(name, contexts.known)


def _named(name: str, known: Mapping[str, Context]) -> Context:
    if name not in known:
        names = ", ".join([LOCAL, *known])
        raise ConfigError(f"there is no context {name} ({names}): `dayz-relay context add` adds one")
    return known[name]


@contextmanager
def _changing() -> Iterator[Contexts]:
    """The contexts in the file, to be changed and written back. No other process may write it in between."""
    file = path()
    try:
        held = private_files.lock(file.with_suffix(".lock"), wait=True)
        if held is None:
            raise ConfigError(f"{file}: another command writes it: try again")
        try:
            contexts = read()
            yield contexts
            private_files.replace(file, _written(contexts).encode())
        finally:
            os.close(held)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error


def _written(contexts: Contexts) -> str:
    lines = [f"current = {json.dumps(contexts.current)}"]
    for one in contexts.known.values():  # TOML has no escapes of halves of a character, as JSON has
        lines += ["", f"[context.{one.name}]", f"url = {json.dumps(one.url, ensure_ascii=False)}"]
        lines += [f"token = {json.dumps(one.token)}"] if one.token else []
    return "\n".join([*lines, ""])
