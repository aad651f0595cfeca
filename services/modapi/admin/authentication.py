"""Checks the token, the type and the size of each call of the admin API.

This comes before FastAPI, which would read a body before it checks the sender. `StillThere` guards the whole
admin port: it refuses requests whose senders have gone.
"""

from collections.abc import Callable
from importlib.metadata import version

from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.admin.models import Role
from services.modapi.admin.problems import ApiError, ErrorCode, response
from services.modapi.admin.tokens import AdminTokens
from services.modapi.http.mod_call import arrival_of, read_body
from services.modapi.http.refusals import CutShort, TooLarge
from services.relay.protocol.errors import StoreError
from services.relay.service.http.client import RELAY_HEADER

MAX_BODY_BYTES = 64 * 1024
OPEN_PATH = "/openapi.json"

Refusal = Callable[[ErrorCode, str], ASGIApp]

_NO_TOKEN = (
    "the admin API has no token yet: set admin_token (or admin_token_file) under [modapi] in relay.toml,"
    " or RELAY_MODAPI__ADMIN_TOKEN, and restart modapi"
)
_WRONG_TOKEN = (
    "unknown token: send the admin_token of [modapi], or a token that create_token has made, in"
    " the header `Authorization`, after `Bearer`"
)


class AdminAuthentication:
    """Lets calls with a token through to `app`, and those for its description.

    `refusal` makes the answer to all others. `state.role` of a request says what its token
    may do.
    """

    def __init__(self, app: ASGIApp, tokens: AdminTokens, refusal: Refusal) -> None:
        self._app = app
        self._tokens = tokens
        self._refusal = refusal
        self._version = version("dayz-relay")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[RELAY_HEADER] = self._version
            await send(message)

        await self._answer(scope, receive, send_named)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) == OPEN_PATH:
            await self._app(scope, receive, send)
            return
        try:
            await self._check_token(scope)
            body, _ = await read_body(scope, receive, refuse_beyond_bytes=MAX_BODY_BYTES)
            _check_type(scope, body)
        except ApiError as error:
            return await self._refusal(error.code, str(error))(scope, receive, send)
        except TooLarge:
            what = f"the body is over {MAX_BODY_BYTES} bytes"
            return await self._refusal(ErrorCode.TOO_LARGE, what)(scope, receive, send)
        except CutShort:
            return
        given: list[Message] = [{"type": "http.request", "body": body}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)

    async def _check_token(self, scope: Scope) -> None:
        token = bearer_of(Headers(scope=scope)) or ""
        try:
            role = await self._tokens.role(token)
        except StoreError as error:
            raise ApiError(ErrorCode.STORE_AWAY, str(error)) from error
        if role is None and self._tokens.there_are_none:
            raise ApiError(ErrorCode.NO_TOKEN, _NO_TOKEN)
        if role is None:
            raise ApiError(ErrorCode.WRONG_TOKEN, _WRONG_TOKEN)
        if role is Role.READ and scope["method"] not in ("GET", "HEAD"):
            raise ApiError(ErrorCode.READ_ONLY_TOKEN, "this token may only read")
        scope.setdefault("state", {}).update(role=role, token=token)


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


def _check_type(scope: Scope, body: bytes) -> None:
    """A page of another site can send a form, or text, without being asked; JSON it cannot."""
    if not body:
        return
    kind = Headers(scope=scope).get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "send the body with `content-type: application/json`"
        )


def bearer_of(headers: Headers) -> str | None:
    """The token that is sent as Bearer; None: none is."""
    scheme, token = get_authorization_scheme_param(headers.get("authorization"))
    return token.strip() if scheme.lower() == "bearer" else None
