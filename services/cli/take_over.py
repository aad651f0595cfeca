"""`dayz-relay import`: writes the server of an old bridge to relay.toml. Takaro keeps the same server."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from services.cli import private_files
from services.cli.old_bridge import CONFIG_VARIABLE, DEFAULT_URL, OldBridge, read
from services.cli.terminal import program
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings, load
from services.relay.service.settings_values import is_loopback, slug_of
from services.relay.service.text_files import decoded, is_there, why_unreadable

_HEAD = """\
# Settings of the relay, begun from those of the old bridge. `dayz-relay check` shows what is in effect.
# Keep this file to yourself.

[takaro]
{takaro}
[modapi]
host = {host}
port = {port}
"""

_BLOCK = """
[[instance]]
slug = {slug}
name = {name}
# As the old bridge had it. Takaro knows the server by this: never change it.
identity_token = {identity_token}
"""

_WHAT_TO_DO = """\
{config}: server {named} was taken over with its identity token:
Takaro keeps the same server.

1. Stop the old bridge, for good: two of them would take the requests from each other.
2. {start}: {program} up --config {config}
3. {mod}"""

_RUNNING = "A relay that runs with it takes the server up within two seconds; otherwise start it"
_NEW_MOD = "Put this into profiles/TakaroIntegration/config.json and restart the DayZ server:\n\n{}\n"
_SAME_MOD = "The mod needs no change, it calls {} as before."


def run(source: Path | None, config: Path, environ: Mapping[str, str]) -> int:
    """Writes or extends `config`, and says what to do next. Raises ConfigError, and changes nothing then."""
    if source is None and environ.get(CONFIG_VARIABLE):
        source = Path(environ[CONFIG_VARIABLE])
    old = read(_text(source) if source else "", environ)
    settings = load(config, environ).settings if is_there(config) else None
    told = list(old.told)
    if settings is None:
        mod_key = "" if is_loopback(old.host) else secrets.token_urlsafe(32)
        text = _head(old) + _block(old, slug_of(old.name), mod_key)
        after = load(config, environ, text).settings
    else:
        if old.url != settings.takaro.url:
            told.append(f"takaroWsUrl is ignored: relay.toml has {settings.takaro.url} for all servers")
        if (old.host, old.port) != (settings.modapi.host, settings.modapi.port):
            told.append("localPort and bindAddress are ignored: relay.toml says where all mods call")
        mod_key = secrets.token_urlsafe(32)
        text = "\n" + _addition(old, settings, mod_key)
        after = load(config, environ, _before(config) + text).settings
    _write(config, text, new=settings is None)
    for line in told:
        print(f"note: {line}")
    instance, url = after.instances[-1], mod_url(after.modapi)
    print(
        _WHAT_TO_DO.format(
            config=config,
            named=f'{instance.slug} ("{instance.name}")',
            start="Start the relay" if settings is None else _RUNNING,
            program=program(),
            mod=_NEW_MOD.format(mod_config(url, mod_key)) if mod_key else _SAME_MOD.format(url),
        )
    )
    return 0


def _text(source: Path) -> str:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {why_unreadable(source, error)}") from error
    # As the old bridge, which knew only UTF-8, read it.
    return data.decode(json.detect_encoding(data), "replace")


def _head(old: OldBridge) -> str:
    lines = [f"url = {_toml(old.url)}\n"] if old.url != DEFAULT_URL else []
    if old.registration_token:
        lines.append(f"registration_token = {_toml(old.registration_token)}\n")
    return _HEAD.format(takaro="".join(lines), host=_toml(old.host), port=old.port)


def _block(old: OldBridge, slug: str, mod_key: str) -> str:
    lines = _BLOCK.format(slug=_toml(slug), name=_toml(old.name), identity_token=_toml(old.identity_token))
    return lines + (f"mod_keys = [{_toml(mod_key)}]\n" if mod_key else "")


def _addition(old: OldBridge, settings: Settings, mod_key: str) -> str:
    taken = {instance.slug for instance in settings.instances}
    for instance in settings.instances:
        if instance.identity_token.get_secret_value() == old.identity_token:
            raise ConfigError(f"{instance.slug} in relay.toml is this server already: nothing was changed")
    plain = slug_of(old.name)
    slugs = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    text = _block(old, next(slug for slug in slugs if slug not in taken), mod_key)
    fleet = settings.takaro.registration_token
    if old.registration_token and (fleet is None or fleet.get_secret_value() != old.registration_token):
        text += f"registration_token = {_toml(old.registration_token)}\n"
    return text


def _before(config: Path) -> str:
    """The text of the file. It must be UTF-8, like the text that is appended. Raises ConfigError."""
    data = config.read_bytes()
    if not (encoding := json.detect_encoding(data)).startswith("utf-8"):
        raise ConfigError(
            f"{config}: is {encoding.upper()} text: save it as UTF-8 first, nothing was changed"
        )
    return decoded(data)


def _write(config: Path, text: str, *, new: bool) -> None:
    data = text.replace("\n", os.linesep).encode()
    try:
        if new:
            private_files.create(config, data)
        else:
            _append(config, data)
    except OSError as error:
        raise ConfigError(f"{config}: cannot be written: {error.strerror}") from error


def _append(config: Path, data: bytes) -> None:
    """Write behind what is there, as a whole or not at all. The file keeps its owner and mode."""
    length = config.stat().st_size
    try:
        with config.open("ab") as file:
            file.write(data)
    except OSError:  # most often for lack of room
        os.truncate(config, length)
        raise


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
