"""The secrets in settings, which the log hides (redaction.py). Pure."""

import re
from collections.abc import Container, Iterator
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel, SecretStr

_USER_INFO = re.compile(r"://[^/?#:@]*:(.+)@")


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
                yield from _secrets_of(one, public)


def _secrets_of(value: object, public: Container[str]) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from secrets_in(value)
    elif isinstance(value, SecretStr) and (secret := value.get_secret_value()).casefold() not in public:
        yield from _secret_parts(secret) if "://" in secret else (secret,)


def _secret_parts(url: str) -> Iterator[str]:
    """The passwords in an address, and the path of a web address."""
    if url.lower().startswith(("http://", "https://")):  # a webhook is open to whoever knows its path
        yield url.split("/", 3)[3] if url.count("/") > 2 else ""
    address, _, query = url.partition("?")
    if found := _USER_INFO.search(address):
        yield from (found[1], unquote(found[1]))
    yield from (value for name, value in parse_qsl(query) if "password" in name)
