"""What a single setting may be: the types that the models in settings.py are made of.

A check raises ValueError with the rule in words; it never repeats the value, which may be a secret.
"""

import ipaddress
import re
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

MIN_MOD_KEY_LENGTH = 16


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def mask(secret: SecretStr | None) -> str | None:
    """That a secret is set, and its length: enough to see a cut or a wrong paste."""
    return None if secret is None else f"set ({len(secret.get_secret_value())} characters)"


def mask_url(secret: SecretStr | None) -> str | None:
    """A Redis url without its password, which may stand before the host or in the query."""
    if secret is None:
        return None
    parts = urlsplit(secret.get_secret_value())
    user, at, host = parts.netloc.rpartition("@")
    if at:
        user = user.partition(":")[0] + ":***"
    query = urlencode(
        [(name, "***" if "password" in name else text) for name, text in parse_qsl(parts.query)], safe="*"
    )
    return f"{parts.scheme}://{user}{at}{host}{parts.path}{query and '?'}{query}"


def _parsed(text: str) -> tuple[str, bool]:
    """Scheme of an address, and whether it names a host; ("", False) when it cannot be read."""
    try:
        parts = urlsplit(text)
        return parts.scheme, bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "", False


def _websocket_url(text: str) -> str:
    scheme, has_host = _parsed(text)
    if scheme not in ("ws", "wss") or not has_host:
        raise ValueError("must be a WebSocket address: ws:// or wss:// and a host")
    return text


def _redis_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    scheme, _ = _parsed(text)
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must start with redis://, rediss:// or unix://, as in redis://127.0.0.1:6379/0")
    if scheme != "unix" and "@" in urlsplit(text)._replace(netloc="").geturl():
        # A / ? or # in the password ends the host part: what follows would be taken for a database.
        raise ValueError("must have its password percent-encoded, as in %2F for /")
    return secret


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must be 1 to 63 of a-z, 0-9 and -, and start with a letter or digit")
    return text


def _display_name(text: str) -> str:
    if not 3 <= len(text) <= 50:  # contract.md B1
        raise ValueError("must have 3 to 50 characters, Takaro takes no other name")
    return text


def _not_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("must not be blank")
    return secret


def _mod_key(secret: SecretStr) -> SecretStr:
    # URL-safe, because the mod carries it in the path of TakaroApiUrl (contract.md A2).
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{{MIN_MOD_KEY_LENGTH},}}", secret.get_secret_value()):
        raise ValueError(f"a key must have {MIN_MOD_KEY_LENGTH} or more of A-Z, a-z, 0-9, _ and -")
    return secret


def _port(value: object) -> int:
    text = str(value)  # str() of True is no number, as it should be
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError("must be a port number from 0 to 65535 (0: any free port)")
    return int(text)


def _reads_per_second(value: object) -> float:
    try:
        number = float(str(value))
    except (TypeError, ValueError):
        raise ValueError("must be a number of reads a second, as in 4") from None
    if not 0.1 <= number <= 100:
        raise ValueError("must be from 0.1 to 100 reads a second")
    return number


WebSocketUrl = Annotated[str, AfterValidator(_websocket_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Slug = Annotated[str, AfterValidator(_slug)]
DisplayName = Annotated[str, AfterValidator(_display_name)]
Token = Annotated[SecretStr, AfterValidator(_not_blank)]
ModKey = Annotated[SecretStr, AfterValidator(_mod_key)]
Port = Annotated[int, BeforeValidator(_port)]
ReadsPerSecond = Annotated[float, BeforeValidator(_reads_per_second)]
HoldPolls = Annotated[float, Field(ge=0, le=8)]
"""Seconds. The engine gives a request 10 s, or the 5 s that another mod has set (contract.md A2)."""
