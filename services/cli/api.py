"""The admin API of a relay, for the commands."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from services.cli.place import UP, ApiPlace, checked_token
from services.relay.protocol.errors import ConfigError, NoSuchInstance, RelayError
from services.relay.service.http.client import RELAY_HEADER, causes_of, client_of, reason_of
from services.relay.service.logs import clean

if TYPE_CHECKING:
    import httpx

CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 15.0
CHANGE_WITHIN_S = 60.0  # to retry all dead letters of a server takes the longest

PAGE = 1_000
NAMED = 10  # maximum number of servers that are listed if the named one does not exist

FIXED_BY_API = {"read_only_token", "store_away", "dead_letter_not_found", "too_many_streams"}
"""Errors whose `fix` a terminal can show; the fixes of all others name calls of the API."""

_OPTIONS = {
    "name": "--name",
    "identity_token": "--identity-token-file",
    "registration_token": "--registration-token-file",
    "role": "--role",
}
"""The option behind each value that the relay may refuse."""


class RelayAway(RelayError):
    """No relay answers, or something else answers in its place. The text says what to do."""


class RelayApi:
    """Each call raises RelayAway, NoSuchInstance, ConfigError for a token or a wrong value, or RelayError."""

    def __init__(self, at: ApiPlace, client: "httpx.AsyncClient") -> None:
        self._at = at
        self.client = client
        client.event_hooks = {"response": [self._check]}
        self.is_lost = False  # whether a stream was lost and none is back
        self._is_known = False  # whether a relay of this version has answered

    @staticmethod
    def path(slug: str, more: str = "") -> str:
        """The path of a server. The slug may be anything that a person typed."""
        return f"/servers/{quote(slug, safe='')}{more}"

    async def get(self, path: str, **query: Any) -> Any:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return await self.call("POST", path, json=body)

    async def call(self, method: str, path: str, **content: Any) -> Any:
        """The JSON of the answer; None if it has none. `content`: what httpx takes, `params` or `json`."""
        import httpx

        if method != "GET" and not self._is_known:
            await self.get("/servers", limit=1)  # a change, and its secrets, may only go to a relay
        within_s = ANSWER_WITHIN_S if method == "GET" else CHANGE_WITHIN_S
        timeout = httpx.Timeout(within_s, connect=CONNECT_WITHIN_S)
        try:
            answer = await self.client.request(method, path, timeout=timeout, **content)
        except (httpx.TransportError, OSError) as error:
            raise self.away(error) from None
        if not answer.is_success:
            raise await self.error(answer.status_code, answer.content, path)
        if answer.status_code == 204:
            return None
        try:
            return orjson.loads(answer.content)
        except ValueError:
            raise self._no_relay(answer.status_code) from None

    async def servers(self, most: int | None = None, **query: str) -> list[dict[str, Any]]:
        """The servers, by slug; at most `most`."""
        limit = PAGE if most is None else min(PAGE, most)
        return (await self.pages("/servers", most, limit=limit, **query))[:most]

    async def pages(self, path: str, most: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """The `servers` of each page of a list, until there are `most`."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None and (most is None or len(found) < most):
            page = await self.get(path, cursor=cursor, **query)
            found += page["servers"]
            cursor = page["next_cursor"]
        return found

    async def _check(self, answer: "httpx.Response") -> None:
        """Raises RelayAway if another program, which may answer with JSON too, has this address."""
        if answer.is_success and RELAY_HEADER not in answer.headers:
            raise self._no_relay(answer.status_code)
        self._is_known = self._is_known or answer.is_success

    async def error(self, status: int, body: bytes, path: str) -> RelayError:
        """The error in an answer that is no success."""
        try:
            problem = orjson.loads(body)
            code, text = str(problem["code"]), clean(str(problem["detail"]))
        except (ValueError, KeyError, TypeError):
            return self._no_relay(status)
        at = self._at
        if code == "server_not_found":
            known = [one["slug"] for one in await self.servers()]
            return NoSuchInstance(f"{text} ({hint(path.split('/')[2], known)})")
        if code == "no_token":
            elsewhere = "set admin_token under [modapi] in its relay.toml, and restart it"
            return ConfigError(
                f"the relay at {at.url} has no token yet: {at.fix if at.start == UP else elsewhere}"
            )
        if code == "wrong_token" and not at.token:
            return ConfigError(f"the relay at {at.url} asks for a token: {at.fix}")
        if code == "wrong_token":
            return ConfigError(f"the relay at {at.url} does not know the token ({at.said}): {at.fix}")
        if code == "invalid" and problem.get("errors"):
            options = _OPTIONS | {"name": "NAME"} if path == "/tokens" else _OPTIONS
            wrong = [f"{options.get(one['place'], one['place'])}: {one['text']}" for one in problem["errors"]]
            return ConfigError(clean("; ".join(wrong)))
        if code == "outcome_unknown":
            return RelayError(f"{text}: look at the server before you repeat it")
        return RelayError(f"{text}: {clean(str(problem['fix']))}" if code in FIXED_BY_API else text)

    def _no_relay(self, status: int) -> RelayAway:
        return RelayAway(
            f"{self._at.url} answers {status}, and not as a relay of this version: is it the admin port of"
            " modapi?"
        )

    def away(self, error: BaseException) -> RelayAway:
        """The error for people after a connection has failed."""
        if isinstance(error, RelayAway):
            return error
        url = self._at.url
        in_time = not type(error).__name__.endswith("Timeout")  # an error of httpx without text
        reason = reason_of(error) if in_time else "no answer in time"
        for cause in causes_of(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return RelayAway(
                    f"the certificate of {url} is not trusted ({cause.verify_message}): SSL_CERT_FILE can"
                    " name a file with the certificate of your own authority"
                )
            if isinstance(cause, ConnectionRefusedError):
                reason = "nobody listens there"
        if self._at.start:
            return RelayAway(
                f"modapi does not answer at {url} ({reason}): `{self._at.start}` starts the relay,"
                " `dayz-relay doctor` looks for what is wrong"
            )
        return RelayAway(f"no relay answers at {url} ({reason}): does it run, and is the address right?")


@contextlib.asynccontextmanager
async def opened_api(at: ApiPlace) -> AsyncIterator[RelayApi]:
    """The API there. httpx is imported here: `--help` does not wait for it. Raises ConfigError."""
    import httpx

    try:
        client = client_of(
            at.url,
            {"Authorization": f"Bearer {checked_token(at.token, at.said)}"} if at.token else {},
            base_url=f"{at.url}/api/v1",
            limits=httpx.Limits(max_connections=None),
        )
    except httpx.InvalidURL as error:
        raise ConfigError(f"{at.url} is no address: {error}") from None
    async with client:
        yield RelayApi(at, client)


def hint(slug: str, known: Sequence[str]) -> str:
    """Servers with names like a slug that does not exist."""
    if near := get_close_matches(slug, known, n=1):
        return f"did you mean {near[0]}?"
    if len(known) > NAMED:
        return f"`dayz-relay status` shows all {len(known):,}"
    return ", ".join(known) or "there is none yet"
