"""The secrets in settings, which the log hides; warnings about open or weak ones, and about equal names."""

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel, SecretStr

from services.relay.service.settings import Instance, Loaded

SHORT_CHARS = 16

_USER_INFO = re.compile(r"://[^/?#:@]*:(.+)@")

_CONTAINERS_OWN = "/run/secrets/"
"""Docker puts the secrets of a container here. Every user in it can read them, and nobody can change that."""


def cautions(loaded: Loaded) -> list[str]:
    return [
        *_open_files(loaded.secret_files),
        *filter(None, map(guessable, loaded.settings.instances)),
        *equal_names(loaded.settings.instances),
    ]


def equal_names(instances: Iterable[Instance]) -> list[str]:
    """One line for each instance whose name an earlier one has in the same Takaro domain.

    Takaro takes a name once, when it first sees a server, and refuses the second (protocol.md T2).
    """
    first: dict[tuple[str, str], str] = {}
    pairs = [(one.slug, first.setdefault(_known_as(one), one.slug)) for one in instances]
    return [_same_name(slug, other) for slug, other in pairs if slug != other]


def equal_name(slug: str, instances: Iterable[Instance]) -> list[str]:
    """The warning about one instance whose name another one has, whichever was there first."""
    names = {instance.slug: _known_as(instance) for instance in instances}
    others = [other for other in names if other != slug and slug in names and names[other] == names[slug]]
    return [_same_name(slug, other) for other in others[:1]]


def _known_as(instance: Instance) -> tuple[str, str]:
    """The name, and the token that stands for the Takaro domain in which the name is taken."""
    token = instance.registration_token
    return instance.name, token.get_secret_value() if token else ""


def _same_name(slug: str, other: str) -> str:
    return (
        f"{slug}: {other} has the same name. Takaro takes a name only once: unless it has both servers"
        " already, it refuses the second one until that has another name"
    )


def guessable(instance: Instance) -> str:
    """The warning about an identity token that can be guessed, "" if it cannot."""
    token = instance.identity_token.get_secret_value()
    if _letters(token) in (_letters(instance.name), _letters(instance.slug)):
        what = "is just the server's name"
    elif len(token) < SHORT_CHARS:
        what = f"has only {len(token)} characters"
    else:
        return ""
    return (
        f"{instance.slug}: its identity_token {what}. Whoever knows it and a registration token of your"
        " Takaro can speak there as this server. Takaro knows the server by it: with another one it sees a"
        " new server, so change it only if you want that"
    )


def _open_files(files: Iterable[Path]) -> Iterator[str]:
    if sys.platform == "win32":  # permissions are something else there
        return
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        # The owner may give a group access: so a service reads a file of root's.
        others = stat.S_IROTH | (stat.S_IRGRP if found.st_uid == os.getuid() else 0)
        if found.st_mode & others and not str(file.absolute()).startswith(_CONTAINERS_OWN):
            yield (
                f"{file}: others on this machine can read it (mode {stat.S_IMODE(found.st_mode):04o}), and it"
                f" holds secrets: chmod 600 {file}"
            )


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def secrets_in(*models: BaseModel) -> Iterator[str]:
    """Every secret in these settings. They are found by their type, so that a new setting is not forgotten.

    In an address only the passwords are secret, and the path of a web address. A value that is also the name
    or the slug of its server is none.
    """
    for model in models:
        public = {str(getattr(model, name, "")).casefold() for name in ("slug", "name")}
        for name in type(model).model_fields:
            value = getattr(model, name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, BaseModel):
                    yield from secrets_in(one)
                secret = one.get_secret_value() if isinstance(one, SecretStr) else ""
                if secret and secret.casefold() not in public:
                    yield from _secret_parts(secret) if "://" in secret else (secret,)


def _secret_parts(url: str) -> Iterator[str]:
    """The passwords in an address, and the path of a web address."""
    if url.lower().startswith(("http://", "https://")):  # a webhook is open to all who know its path
        yield url.split("/", 3)[3] if url.count("/") > 2 else ""
    address, _, query = url.partition("?")
    if found := _USER_INFO.search(address):
        yield from (found[1], unquote(found[1]))
    yield from (value for name, value in parse_qsl(query) if "password" in name)
