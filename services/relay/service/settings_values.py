"""The types of single settings, for the models in settings.py.

A type checks its text and raises ValueError with the rule, never with the value, which may be a secret.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from services.relay.service.http.addresses import is_host, is_url
from services.relay.service.text_files import is_there
from services.relay.store import url as redis_url

Text = TypeVar("Text", str, SecretStr)

MIN_SECRET_CHARS = 16
SLUG_CHARS = 50  # length of a slug that is made from a name; a number may follow

# A variable that is not UTF-8 has surrogates, which cannot be sent.
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HOST_NAME = re.compile(r"(?![0-9.]*\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def slug_of(name: str) -> str:
    """A slug for a server of this name: "[EU] Müller" becomes "eu-muller"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_CHARS].strip("-") or "server"


def _must(accepts: Callable[[str], object], rule: str) -> AfterValidator:
    """A check of a text or a secret. `accepts` returns a false value or raises ValueError if it is wrong."""

    def check(value: Text) -> Text:
        try:
            accepted = accepts(value.get_secret_value() if isinstance(value, SecretStr) else value)
        except ValueError:
            accepted = False
        if not accepted:
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _up_to(highest: int, rule: str) -> BeforeValidator:
    """A check of a whole number from 0, or of its text. True is not a number here."""

    def check(value: object) -> int:
        if not re.fullmatch("[0-9]{1,5}", text := str(value)) or int(text) > highest:
            raise ValueError(rule)
        return int(text)

    return BeforeValidator(check)


def _is_webhook(text: str) -> bool:
    return bool(re.fullmatch("[!-~]+", text)) and "#" not in text and is_url(text, "http", "https")


def _is_base_url(text: str) -> bool:
    return _is_webhook(text) and "?" not in text and "/k/" not in text


def _is_plain(text: str) -> bool:
    return _CONTROL_CHARACTERS.search(text) is None


def _host(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
        return str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        if _HOST_NAME.fullmatch(text) and is_host(text):
            return text
    raise ValueError(
        'must be an address or a name of this machine, without brackets and port: "127.0.0.1" lets in this'
        ' machine alone, "0.0.0.0" all others by IPv4, "::" by IPv6 as well'
    )


def _redis_url(secret: SecretStr) -> SecretStr:
    tls = redis_url.parse(secret.get_secret_value()).tls
    for name in redis_url.TLS_FILES:
        file = getattr(tls, name.removeprefix("ssl_")) if tls else ""
        if file and (not is_there(Path(file)) or Path(file).is_dir()):
            raise ValueError(f"has {name}, and there is no such file: it is looked for in {Path.cwd()}")
    return secret


def _reads_per_second(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError("must be a number of reads a second, as in 4") from None
    if not 0.1 <= number <= 100:
        raise ValueError("must be from 0.1 to 100 reads a second")
    return number


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Split = BeforeValidator(_split)
"""For a list: several values in one text, separated by commas, spaces or lines."""

Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, _up_to(65535, "must be a port number from 0 to 65535 (0: any free port)")]
Network = Annotated[str, _must(ipaddress.ip_network, "must be an address or a network, as in 10.0.0.0/8")]
WebSocketUrl = Annotated[
    str,
    _must(lambda text: is_url(text, "ws", "wss"), "must be a WebSocket address: ws:// or wss:// and a host"),
]
ProxyUrl = Annotated[
    SecretStr,
    _must(
        lambda text: is_url(text, "http", "https"),
        "must be the address of a proxy: http:// or https:// and a host",
    ),
]
WebhookUrl = Annotated[
    SecretStr, _must(_is_webhook, "must be the address of a webhook: https:// or http://, a host and a path")
]
BaseUrl = Annotated[
    str,
    _must(
        _is_base_url,
        "must be the address of the relay for mods, as http://203.0.113.5:8088, without /k/ and a key",
    ),
]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Password = Annotated[SecretStr, _must(_is_plain, "must be text without control characters")]
Replicas = Annotated[int, _up_to(9, "must be a number of replicas from 0 to 9")]
ReadsPerSecond = Annotated[float, BeforeValidator(_reads_per_second)]
SilentAfter = Annotated[float, Field(ge=60, le=86_400)]
"""Seconds. A mod calls every 2 s, and a restart of its server takes a minute or two."""
HoldPolls = Annotated[float, Field(ge=0, le=8)]
"""Seconds. The engine gives a call 10 s, or what another mod has set (protocol.md M6): hold_rules.py."""

# The patterns are for the OpenAPI description of the admin API; the checks decide.
_PLAIN = r"[^\u0000-\u001f\u007f-\u009f]"
_VISIBLE = r"[^\s\u0000-\u001f\u007f-\u009f]"
Slug = Annotated[
    str,
    _must(
        re.compile(r"[a-z0-9][a-z0-9-]{0,62}").fullmatch,
        "must be 1 to 63 of a-z, 0-9 and -, and start with a letter or digit",
    ),
    Field(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}),
]
DisplayName = Annotated[
    str,
    _must(_is_plain, "must be text without control characters"),
    _must(lambda text: 3 <= len(text) <= 50, "must have 3 to 50 characters, Takaro takes no other name"),
    Field(json_schema_extra={"minLength": 3, "maxLength": 50, "pattern": f"^{_VISIBLE}{_PLAIN}*{_VISIBLE}$"}),
]
NotBlank = _must(str.strip, "must not be blank")
Token = Annotated[
    SecretStr,
    NotBlank,
    _must(_is_plain, "must be text without control characters"),
    Field(json_schema_extra={"pattern": f"^{_PLAIN}*{_VISIBLE}{_PLAIN}*$"}),
]
# URL-safe, because the mod has it in the path of its TakaroApiUrl.
ModKey = Annotated[
    SecretStr,
    _must(
        re.compile(rf"[A-Za-z0-9_-]{{{MIN_SECRET_CHARS},}}").fullmatch,
        f"a key must have {MIN_SECRET_CHARS} or more of A-Z, a-z, 0-9, _ and -",
    ),
]
AdminToken = Annotated[
    SecretStr,
    _must(
        re.compile(rf"[!-~]{{{MIN_SECRET_CHARS},}}").fullmatch,
        f"must have {MIN_SECRET_CHARS} or more characters, no spaces, ASCII only",
    ),
]
