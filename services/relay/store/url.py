"""The addresses of Redis that operators know, read into what a connection needs. Pure: no file is looked at.

    redis://[user[:password]@]host[:6379][/db]            rediss:// is the same over TLS
    unix://[user[:password]@]/path/of/the/socket[?db=0]
    redis+sentinel://[…@]host[:26379],host…/service[/db]  rediss+sentinel:// too
    redis+cluster://[…@]host[:6379],host…                 rediss+cluster:// too

Options follow a `?`, with redis-py's own names.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote

from services.relay.service.http.addresses import is_host

FORMS = (
    "must start with redis://, rediss:// or unix://, as in redis://127.0.0.1:6379/0, "
    "or with redis+sentinel://, redis+cluster:// (rediss+… for TLS)"
)

TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SCHEMES = ("unix", *(f"{s}{k}" for s in ("redis", "rediss") for k in ("", "+sentinel", "+cluster")))
_TLS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")


class StoreKind(StrEnum):
    ALONE = "standalone"
    SENTINEL = "Sentinel"
    CLUSTER = "Cluster"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@dataclass(frozen=True, slots=True)
class Login:
    """User and password. Both empty: no login. An empty user is the server's default one."""

    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """Options of TLS. The texts are paths of PEM files; "": the machine's own authorities, or none."""

    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""
    verify: bool = True
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """`endpoints` are servers, or Sentinels; `service` is the name under which these know the primary."""

    kind: StoreKind
    endpoints: tuple[Endpoint, ...]
    login: Login = Login()
    db: int = 0
    tls: Tls | None = None
    service: str = ""
    sentinel_login: Login = Login()


def parse(text: str) -> RedisUrl:
    """The parts of an address. Raises ValueError with the rule and without the text, which may be secret."""
    scheme, user_info, hosts, path, query = _split(text)
    options = _options(scheme, query)
    user, _, password = map(unquote, user_info.partition(":"))
    login = Login(options.get("username", user), options.get("password", password))
    if login.user and not login.password:
        raise ValueError("must have a password after the user, as in redis://user:password@host")
    if scheme == "unix":
        if hosts or not path.startswith("/"):
            raise ValueError("must name the socket by its full path, as in unix:///run/redis/redis.sock")
        endpoint = Endpoint(path=unquote(path))
        return RedisUrl(StoreKind.ALONE, (endpoint,), login, _db(options.get("db", "")))
    plain, _, kind_name = scheme.partition("+")
    kind = {"": StoreKind.ALONE, "sentinel": StoreKind.SENTINEL, "cluster": StoreKind.CLUSTER}[kind_name]
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    if kind is StoreKind.SENTINEL and not parts:
        raise ValueError("must end with the name of the service, as in redis+sentinel://host:26379/mymaster")
    service = parts.pop(0) if kind is StoreKind.SENTINEL else ""
    db = _db(parts.pop(0) if parts else options.get("db", ""))
    if parts:
        raise ValueError("must have a database number and nothing more after the host")
    if kind is StoreKind.CLUSTER and db:
        raise ValueError("must not name a database: a cluster has only number 0")
    port = 26379 if kind is StoreKind.SENTINEL else 6379
    endpoints = tuple(_endpoint(host, port) for host in hosts.split(","))
    if kind is StoreKind.ALONE and len(endpoints) > 1:
        raise ValueError("must name one host: for several use redis+sentinel:// or redis+cluster://")
    sentinel_login = Login(options.get("sentinel_username", ""), options.get("sentinel_password", ""))
    tls = _tls(options) if plain == "rediss" else None
    return RedisUrl(kind, endpoints, login, db, tls, service, sentinel_login)


def with_password(text: str, password: str) -> str:
    """The address of a server that has no login, with this password, which may have any character. Raises
    ValueError if the address has a login already."""
    if parse(text).login.password:
        raise ValueError("is set, and url has a password already: keep one of the two")
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}:{quote(password, safe='')}@{rest.rpartition('@')[2]}"


def masked(text: str) -> str:
    """The address without its passwords, which may stand before the host or in the options."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "***"
    address, mark, query = rest.partition("?")
    user_info, at, host = address.rpartition("@")
    if "@" in query:  # a ? in the password: nobody can say where it ends
        user_info, at, host, mark, query = user_info or address, "@", query.rpartition("@")[2], "", ""
    if at:
        user_info = user_info.partition(":")[0] + ":***"
    shown = [
        name + ("=***" if "password" in name else equals + value)
        for name, equals, value in (option.partition("=") for option in query.split("&"))
    ]
    return f"{scheme}{separator}{user_info}{at}{host}{mark}{'&'.join(shown)}"


def _split(text: str) -> tuple[str, str, str, str, str]:
    """Scheme, user and password, hosts, path, query. Not urlsplit: that knows one host only."""
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise ValueError(FORMS)
    address, _, query = rest.partition("?")
    authority, slash, path = address.partition("/")
    if "@" in path or "@" in query or "#" in authority:
        # A / ? or # in the password ends the host part: what follows would be taken for a database.
        raise ValueError("must have its password percent-encoded, as in %2F for /")
    user_info, _, hosts = authority.rpartition("@")
    return scheme, user_info, hosts, slash + path, query


def _options(scheme: str, query: str) -> dict[str, str]:
    known = ["db", "username", "password"]
    if scheme.startswith("rediss"):
        known += _TLS
    if scheme.endswith("+sentinel"):
        known += ["sentinel_username", "sentinel_password"]
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name in _TLS and name not in known:
            raise ValueError(f"has the option {name}, which needs rediss:// in front")
        if name not in known:
            # Its name is not shown: it may be the rest of a password.
            raise ValueError(f"has an option that is not known here: {', '.join(known)} are")
    return options


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("must have the number of a database after the host, as in /0, or nothing")
    return int(text or 0)


def _endpoint(text: str, default_port: int) -> Endpoint:
    wrong = ValueError("must name each host as host:port, as in 127.0.0.1:6379 or [::1]:6379")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise wrong
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    host = unquote(host)
    if not is_host(host) or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise wrong
    return Endpoint(host, int(port) if port else default_port)


def _tls(options: dict[str, str]) -> Tls:
    verify = options.get("ssl_cert_reqs", "required")
    if verify not in ("required", "none"):
        raise ValueError("must have ssl_cert_reqs=required or ssl_cert_reqs=none")
    check = options.get("ssl_check_hostname", "true").lower()
    if check not in ("true", "false", "1", "0"):
        raise ValueError("must have ssl_check_hostname=true or ssl_check_hostname=false")
    if options.get("ssl_keyfile") and not options.get("ssl_certfile"):
        raise ValueError("must have ssl_certfile beside ssl_keyfile")
    return Tls(
        options.get("ssl_ca_certs", ""),
        options.get("ssl_certfile", ""),
        options.get("ssl_keyfile", ""),
        verify=verify == "required",
        check_hostname=verify == "required" and check in ("true", "1"),
    )
