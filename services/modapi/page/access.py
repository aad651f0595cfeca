"""Who is let in to the status page, and what every answer of it carries."""

import math
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.http.rate_limits import WrongKeys
from services.modapi.page.session import COOKIE, LASTS_S, Sessions, cookie_of, is_local
from services.relay.protocol.limits import Limits
from services.relay.service.http.addresses import source_of

NO_TOKEN = (
    "This page has no admin token yet, so it shows itself only to a browser on this machine, under the name"
    " localhost, while admin_host is a loopback address. Set admin_token (or admin_token_file) under [modapi]"
    " in relay.toml, or RELAY_MODAPI__ADMIN_TOKEN, and restart modapi."
)

_SPOKEN_FOR = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with none, browsers send no Origin along with a form
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may see the page, until `until_s` on the wall clock. `form_key` is "" for a Bearer."""

    until_s: float
    form_key: str = ""
    logged_in: bool = False


class PageAccess:
    """Looks at a request, and says who sends it. `loopback`: only this machine can reach the admin port."""

    def __init__(self, token: str | None, limits: Limits, *, loopback: bool) -> None:
        self.open = token is None
        self._loopback = loopback
        self._sessions = Sessions(token)
        self._wrong = WrongKeys(limits.wrong_keys_per_minute)

    def reader(self, request: Request) -> Reader | None:
        """None: nobody who may see anything."""
        headers = request.headers
        if self.open:
            local = self._loopback and is_local(headers.get("host", ""))
            if not local or any(name in headers for name in _SPOKEN_FOR):
                return None
            return Reader(math.inf, self._sessions.form_key(""))
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Reader(math.inf) if self._sessions.is_token(bearer.strip()) else None
        cookie = cookie_of(headers.get("cookie", ""))
        until_s = self._sessions.until_s(cookie, time.time()) if cookie else 0.0
        return Reader(until_s, self._sessions.form_key(cookie), True) if until_s else None

    def may_change(self, request: Request, reader: Reader, form_key: str) -> bool:
        """Does this form come from our own page? A Bearer no browser adds by itself."""
        if not from_here(request.headers):
            return False
        if not reader.form_key:
            return True
        cookie = "" if self.open else cookie_of(request.headers.get("cookie", ""))
        return self._sessions.is_form_key(form_key, cookie)

    def log_in(self, token: str) -> str:
        """The cookie for whoever knows the token; "" for others."""
        return self._sessions.begin(time.time()) if self._sessions.is_token(token) else ""

    def tries_too_often(self, request: Request) -> bool:
        """One more wrong token from there. The right one is never put off."""
        address = request.client.host if request.client else "?"
        return not self._wrong.tried(source_of(address), time.monotonic())


def from_here(headers: Headers) -> bool:
    """As far as the browser says: the page that sends this form is ours."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def cookie(value: str, request: Request) -> str:
    """The header that sets the session; an empty value ends it."""
    tls = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    age_s = LASTS_S if value else 0
    return f"{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{'; Secure' if tls else ''}"


class Hardened:
    """Adds to every answer what keeps a browser from doing more than it should."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, hardened)
