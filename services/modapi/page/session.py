"""Who may see the page: the admin token, shown once at the login, or as a Bearer. Pure: times are arguments.

A session is a signed date in a cookie, nothing is kept: any modapi of a fleet can check it, and another admin
token ends all.
"""

import hashlib
import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie

LASTS_S = 12 * 3600
COOKIE = "dayz_relay_session"

_LOCAL = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")


class Sessions:
    """Sessions under one admin token. Without one (None) there are none, but forms are signed as well."""

    def __init__(self, token: str | None) -> None:
        self._token = _digest(token.encode()) if token else None
        self._key = hmac.digest(self._token or secrets.token_bytes(32), b"dayz-relay page", "sha256")

    def is_token(self, presented: str) -> bool:
        """In a time that does not depend on how much of it is right."""
        return self._token is not None and hmac.compare_digest(
            _digest(presented.encode("utf-8", "replace")), self._token
        )

    def begin(self, now_s: float) -> str:
        """The value of a new cookie."""
        words = f"{int(now_s) + LASTS_S}.{secrets.token_hex(8)}"
        return f"{words}.{self._sign('session', words)}"

    def until_s(self, cookie: str, now_s: float) -> float:
        """When the session of this cookie ends; 0.0: it is none, or over."""
        words, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(
            self._sign("session", words).encode(), signature.encode("utf-8", "replace")
        ):
            return 0.0
        ends_s = int(words.partition(".")[0])
        return ends_s if now_s < ends_s <= now_s + LASTS_S else 0.0

    def form_key(self, cookie: str) -> str:
        """What every form of this session has to bring along: no other site can know it."""
        return self._sign("form", cookie)

    def is_form_key(self, presented: str, cookie: str) -> bool:
        return hmac.compare_digest(self.form_key(cookie).encode(), presented.encode("utf-8", "replace"))

    def _sign(self, what: str, words: str) -> str:
        return hmac.digest(self._key, f"{what} {words}".encode("utf-8", "replace"), "sha256").hex()


def cookie_of(header: str) -> str:
    """Our cookie among those of a request, or ""."""
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def is_local(host: str) -> bool:
    """Is the Host header one of this machine's own names? A page elsewhere may have its name point here (DNS
    rebinding), but it cannot choose what the browser writes there."""
    return _LOCAL.fullmatch(host.lower()) is not None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
