"""Decides who may see the page and whose forms are accepted, and protects every answer in the browser."""

import contextlib
import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.admin.authentication import bearer_of, note_wrong_token
from services.modapi.admin.models import Role
from services.modapi.http.mod_call import read_body
from services.modapi.http.rate_limits import WrongKeys
from services.modapi.http.refusals import CutShort, TooLarge
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import FORM_KEY
from services.relay.protocol.limits import Limits
from services.relay.store.client import Store

SESSION_S = 12 * 3600
COOKIE = "dayz_relay_session"
MAX_FORM_BYTES = 8 * 1024  # a message of 500 characters has up to 4,500 bytes as browsers send it

NO_TOKEN = (
    "This page has no admin token yet, so it shows itself only to a browser on this machine, under the name"
    " localhost, while admin_host is a loopback address. Set admin_token (or admin_token_file) under [modapi]"
    " in relay.toml, or RELAY_MODAPI__ADMIN_TOKEN, and restart modapi."
)

_LOCAL = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")
_NEXT = re.compile(r"/(?:instance/[a-z0-9-]{1,64})?")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

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
    """A person who may see the page, until `until_s` on the wall clock. `form_key` is "" for a Bearer."""

    until_s: float
    form_key: str = ""
    logged_in: bool = False


ForReader = Callable[[Request, Reader], Awaitable[Response]]


class PageAccess:
    """Lets readers in by session, by Bearer, or without any token while only this machine can reach the port
    (`loopback`)."""

    def __init__(
        self, token: str | None, limits: Limits, store: Store, metrics: ModapiMetrics, *, loopback: bool
    ) -> None:
        self.is_open = token is None
        self._digest = _digest(token or secrets.token_hex())
        self._secret = hmac.digest(self._digest, b"dayz-relay forms", "sha256").hex()
        self._store = store
        self._metrics = metrics
        self._open_form_key = secrets.token_hex(16)
        self._is_key_kept = False
        self._loopback = loopback
        self._wrong = WrongKeys(limits.wrong_keys_per_minute)

    def protect(self, app: ASGIApp) -> ASGIApp:
        """The application with sessions, and with what keeps a browser from doing more than it should.

        The key of the cookies follows from the token, so every modapi of a fleet knows a session, and a new
        token ends all.
        """
        key = hmac.digest(self._digest, b"dayz-relay page", "sha256").hex()
        sessions = SessionMiddleware(app, key, session_cookie=COOKIE, max_age=SESSION_S, same_site="strict")

        async def protected(scope: Scope, receive: Receive, send: Send) -> None:
            forwarded = Headers(scope=scope).get("x-forwarded-proto")
            by_tls = "https" in (scope.get("scheme"), forwarded)

            async def send_protected(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    for name, value in _HEADERS.items():
                        headers.setdefault(name, value)
                    if by_tls and "set-cookie" in headers:
                        headers["set-cookie"] += "; secure"
                await send(message)

            await sessions(scope, receive, send_protected)

        return protected

    def for_readers(self, handler: ForReader) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that only a reader reaches. Others are sent to the login, or refused."""

        async def admitted(request: Request) -> Response:
            if reader := await self._reader(request):
                return await handler(request, reader)
            if self.is_open:
                raise HTTPException(403, NO_TOKEN)
            if "authorization" in request.headers:
                if self.count_wrong_token(request):
                    raise HTTPException(429, "Too many wrong tokens from this address.")
            elif request.method == "GET" and not request.url.path.endswith("/live"):
                return RedirectResponse(f"/login?next={quote(own_path(request.url.path))}", 303)
            raise HTTPException(401, "Log in first.", {"www-authenticate": "Bearer"})

        return admitted

    async def form(self, request: Request, reader: Reader) -> dict[str, str]:
        """The fields of a form, which may call the admin API from now on. Raises HTTPException if it is not
        from our own page.

        No browser adds a Bearer by itself, so its forms need no key.
        """
        fields = await form_of(request)
        key = fields.get("key", "").encode("utf-8", "replace")
        if not hmac.compare_digest(reader.form_key.encode(), key if reader.form_key else b""):
            raise HTTPException(
                403, "This form did not come from the page itself, or is too old: load the page again."
            )
        request.state.token, request.state.role = self._secret, Role.FULL  # for the calls of the admin API
        return fields

    def log_in(self, request: Request, token: str) -> bool:
        """Begins a session if the token is right."""
        if self.is_open or not self._is_token(token):
            return False
        until_s = int(time.time()) + SESSION_S
        request.session.update(until_s=until_s, form_key=secrets.token_hex(16))
        return True

    def count_wrong_token(self, request: Request) -> bool:
        """Counts one more wrong token of this address. True: they are too many; the right one still opens."""
        return not self._wrong.count(note_wrong_token(self._metrics, request), time.monotonic())

    async def _reader(self, request: Request) -> Reader | None:
        headers = request.headers
        if self.is_open:
            local = self._loopback and is_local(headers.get("host", ""))
            forwarded = any(name in headers for name in _FORWARDED)
            return Reader(math.inf, await self._form_key()) if local and not forwarded else None
        if (token := bearer_of(headers)) is not None:
            return Reader(math.inf) if self._is_token(token) else None
        session = request.session
        return Reader(session["until_s"], session["form_key"], logged_in=True) if session else None

    async def _form_key(self) -> str:
        """The key of the forms of an open page. Pages in a browser outlive modapi, so their key does too."""
        if not self._is_key_kept:
            with contextlib.suppress(StoreError):
                await self._store.send("SET", FORM_KEY, self._open_form_key, "NX")
                self._open_form_key = (await self._store.send("GET", FORM_KEY)).decode()
                self._is_key_kept = True
        return self._open_form_key

    def _is_token(self, presented: str) -> bool:
        return hmac.compare_digest(_digest(presented), self._digest)


async def form_of(request: Request) -> dict[str, str]:
    """The texts of a form. Raises HTTPException if it is larger than MAX_FORM_BYTES, or if it comes from
    elsewhere, as far as the browser says."""
    try:
        body, _ = await read_body(request.scope, request.receive, refuse_beyond_bytes=MAX_FORM_BYTES)
    except TooLarge:
        raise HTTPException(413, "That is too much for a form.") from None
    except CutShort:
        raise HTTPException(400, "The form was cut short.") from None
    headers = request.headers
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This form did not come from the page itself.")
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise HTTPException(
            403,
            f"This form did not come from the page itself, which is {host} here. A proxy in front"
            " must leave the Host header as it is: with nginx, proxy_set_header Host $http_host.",
        )
    return dict(parse_qsl(body.decode("latin-1")))


def own_path(path: str) -> str:
    """The path if it is a page of ours, else "/". The login leads nowhere else."""
    return path if _NEXT.fullmatch(path) else "/"


def is_local(host: str) -> bool:
    """Whether the Host header is a name of this machine.

    A page elsewhere may have its own name point here (DNS rebinding), but then the browser sends that name.
    """
    return _LOCAL.fullmatch(host.lower()) is not None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
