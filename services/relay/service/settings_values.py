"""What a single setting may be: the types that the models in settings.py are made of.

A check raises ValueError with the rule in words; it never repeats the value, which may be a secret.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from services.relay.service.text_files import is_file
from services.relay.store import url as redis_url

MIN_MOD_KEY_LENGTH = 16

_UNPLAIN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_ONLY_NUMBERS = re.compile(r"[0-9.]*")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
        return str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        if _HOST_NAME.fullmatch(text) and not _ONLY_NUMBERS.fullmatch(text):
            return text
    raise ValueError(
        'must be an address or a name of this machine, without brackets and port: "127.0.0.1" lets in this'
        ' machine alone, "0.0.0.0" all others by IPv4, "::" by IPv6 as well'
    )


def mask(secret: SecretStr | None) -> str | None:
    """That a secret is set, and its length: enough to see a cut or a wrong paste."""
    return None if secret is None else f"set ({len(secret.get_secret_value())} characters)"


def mask_url(secret: SecretStr | None) -> str | None:
    """A Redis url without its passwords."""
    return None if secret is None else redis_url.masked(secret.get_secret_value())


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
    tls = redis_url.parse(secret.get_secret_value()).tls
    for name in redis_url.TLS_FILES:
        file = getattr(tls, name.removeprefix("ssl_")) if tls else ""
        if file and not is_file(Path(file)):
            raise ValueError(f"has {name}, and there is no such file: it is looked for in {Path.cwd()}")
    return secret


def _proxy_url(secret: SecretStr) -> SecretStr:
    scheme, has_host = _parsed(secret.get_secret_value())
    if scheme not in ("http", "https") or not has_host:
        raise ValueError("must be the address of a proxy: http:// or https:// and a host")
    return secret


def _webhook_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    scheme, has_host = _parsed(text)
    if scheme not in ("http", "https") or not has_host or not re.fullmatch("[!-~]+", text) or "#" in text:
        raise ValueError("must be the address of a webhook: https:// or http://, a host and a path")
    return secret


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be an address or a network, as in 10.0.0.0/8") from None
    return text


def _replicas(value: object) -> int:
    text = str(value)
    if not re.fullmatch(r"[0-9]", text):
        raise ValueError("must be a number of replicas from 0 to 9")
    return int(text)


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must be 1 to 63 of a-z, 0-9 and -, and start with a letter or digit")
    return text


def _is_plain(text: str) -> bool:
    """Can it be sent, and does it stay on its line? A variable that is no UTF-8 has surrogates."""
    return _UNPLAIN.search(text) is None


def _display_name(text: str) -> str:
    if not _is_plain(text):
        raise ValueError("must be text without control characters")
    if not 3 <= len(text) <= 50:  # contract.md B1
        raise ValueError("must have 3 to 50 characters, Takaro takes no other name")
    return text


def _not_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("must not be blank")
    if not _is_plain(secret.get_secret_value()):
        raise ValueError("must be text without control characters")
    return secret


def _mod_key(secret: SecretStr) -> SecretStr:
    # URL-safe, because the mod carries it in the path of TakaroApiUrl (contract.md A2).
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{{MIN_MOD_KEY_LENGTH},}}", secret.get_secret_value()):
        raise ValueError(f"a key must have {MIN_MOD_KEY_LENGTH} or more of A-Z, a-z, 0-9, _ and -")
    return secret


def _admin_token(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(rf"[!-~]{{{MIN_MOD_KEY_LENGTH},}}", secret.get_secret_value()):
        raise ValueError(f"must have {MIN_MOD_KEY_LENGTH} or more characters, no spaces, ASCII only")
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


Host = Annotated[str, AfterValidator(_host)]
WebSocketUrl = Annotated[str, AfterValidator(_websocket_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Replicas = Annotated[int, BeforeValidator(_replicas)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy_url)]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
Network = Annotated[str, AfterValidator(_network)]
# The patterns are for those who read the description of the admin API; the validators judge.
_PLAIN = r"[^\u0000-\u001f\u007f-\u009f]"
Slug = Annotated[
    str, AfterValidator(_slug), Field(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})
]
DisplayName = Annotated[
    str,
    AfterValidator(_display_name),
    Field(json_schema_extra={"minLength": 3, "maxLength": 50, "pattern": f"^{_PLAIN}*$"}),
]
Token = Annotated[
    SecretStr,
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": rf"^{_PLAIN}*[^\s\u0000-\u001f\u007f-\u009f]{_PLAIN}*$"}),
]
ModKey = Annotated[SecretStr, AfterValidator(_mod_key)]
AdminToken = Annotated[SecretStr, AfterValidator(_admin_token)]
Port = Annotated[int, BeforeValidator(_port)]
ReadsPerSecond = Annotated[float, BeforeValidator(_reads_per_second)]
SilentAfter = Annotated[float, Field(ge=60, le=86_400)]
"""Seconds. A mod calls every 2 s, and a restart of its server takes a minute or two."""
HoldPolls = Annotated[float, Field(ge=0, le=8)]
"""Seconds. The engine gives a request 10 s, or the 5 s that another mod has set (contract.md A2)."""
