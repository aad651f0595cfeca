"""Checks the token, the type and the size of each call of the admin API.

This comes before FastAPI, which would read a body before it checks the sender. `StillThere` guards the whole
admin port: it refuses requests whose senders have gone.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version

from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.admin.problems import ApiError, ErrorCode, code_of, response
from services.modapi.admin.tokens import AdminTokens
from services.modapi.http.mod_call import arrival_of, read_body
from services.modapi.http.refusals import CutShort, TooLarge
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.errors import StoreError
from services.relay.service.http.addresses import source_of
from services.relay.service.http.client import RELAY_HEADER
from services.relay.service.logs import about

MAX_BODY_BYTES = 64 * 1024
OPEN_PATH = "/openapi.json"

logger = logging.getLogger(__name__)

Refusal = Callable[[ErrorCode, str], ASGIApp]


class AdminAuthentication:
    """Lets calls with a token through to `app`, and those for its description.

    `refusal` makes the answer to all others. Every answer has the version of the relay, and `headers`.
    `state.role` of a request says what its token may do.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: AdminTokens,
        metrics: ModapiMetrics,
        refusal: Refusal,
        headers: Mapping[str, str],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._metrics = metrics
        self._refusal = refusal
        self._headers = {RELAY_HEADER: version("dayz-relay"), **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) != OPEN_PATH:
            token = bearer_of(Headers(scope=scope)) or ""
            try:
                role = await self._tokens.check(token, scope["method"])
                scope.setdefault("state", {}).update(role=role, token=token)
                receive = await _with_whole_body(scope, receive)
            except (ApiError, StoreError) as error:
                if token and code_of(error) is ErrorCode.WRONG_TOKEN:
                    note_wrong_token(self._metrics, Request(scope))
                return await self._refusal(code_of(error), str(error))(scope, receive, send_named)
            except CutShort:
                return
        await self._app(scope, receive, send_named)


def note_wrong_token(metrics: ModapiMetrics, request: Request) -> str:
    """Counts a wrong token, logs it once a minute for each source of calls, and returns that source."""
    metrics.wrong_admin_tokens.inc()
    address = request.client.host if request.client else "?"
    source = source_of(address)
    extra = about(f"wrong admin token {source}", "wrong admin token")
    logger.warning("from %s: a wrong admin token was refused", address, extra=extra)
    return source


def token_of(request: Request) -> str:
    """The token of this call. A repeated call is recognised by it, too."""
    token: str = request.state.token
    return token


class StillThere:
    """Lets requests through to `app`, but none whose sender hung up while this process stood still.

    It may have had the same done by another modapi since, and a second rotation of a key undoes the first.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            arrival = arrival_of(scope)
            if arrival.after_stall() and arrival.is_closed():
                await response(ErrorCode.READ_TOO_LATE, "this was read too late")(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _with_whole_body(scope: Scope, receive: Receive) -> Receive:
    """Reads the body, and gives it again. Raises ApiError, CutShort."""
    try:
        body, _ = await read_body(scope, receive, refuse_beyond_bytes=MAX_BODY_BYTES)
    except TooLarge:
        raise ApiError(ErrorCode.TOO_LARGE, f"the body is over {MAX_BODY_BYTES} bytes") from None
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":  # a page of another site can send a form, or text, but no JSON
        what = "send the body with `content-type: application/json`"
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, what)
    given: list[Message] = [{"type": "http.request", "body": body}]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again


def bearer_of(headers: Headers) -> str | None:
    """The token that is sent as Bearer; None: none is."""
    scheme, token = get_authorization_scheme_param(headers.get("authorization"))
    return token.strip() if scheme.lower() == "bearer" else None
