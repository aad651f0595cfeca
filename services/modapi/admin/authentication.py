"""The door of the admin API: the admin token, and bodies of a bearable size. Everything else stays outside.

In front of FastAPI, which reads a body before it asks who sends it. And the door of the whole admin port, for
those who still wait.
"""

import hashlib
import hmac

from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.http.bodies import CutShort, TooLarge, arrival_of, read_body

MAX_BODY_BYTES = 64 * 1024
OPEN_PATH = "/openapi.json"

_NO_TOKEN = (
    "the admin API has no token yet: set admin_token (or admin_token_file) under [modapi] in relay.toml,"
    " or RELAY_MODAPI__ADMIN_TOKEN, and restart modapi"
)
_WRONG_TOKEN = "unknown token: send the admin_token of [modapi] as `Authorization: Bearer <token>`"


class AdminAuthentication:
    """Lets calls with the admin token through to `app`, and those for its description."""

    def __init__(self, app: ASGIApp, token: SecretStr | None) -> None:
        self._app = app
        self._digest = _digest(token.get_secret_value().encode()) if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) == OPEN_PATH:
            await self._app(scope, receive, send)
            return
        if self._digest is None or not hmac.compare_digest(_digest(_bearer(scope)), self._digest):
            refusal = JSONResponse(
                {"error": _WRONG_TOKEN if self._digest else _NO_TOKEN}, 401, {"www-authenticate": "Bearer"}
            )
            await refusal(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, MAX_BODY_BYTES)
        except TooLarge:
            await JSONResponse({"error": f"the body is over {MAX_BODY_BYTES} bytes"}, 413)(
                scope, receive, send
            )
            return
        except CutShort:
            return
        given: list[Message] = [{"type": "http.request", "body": body}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)


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
                await JSONResponse({"error": "this was read too late"}, 503)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _bearer(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            return bytes(token.strip()) if scheme.lower() == b"bearer" else b""
    return b""


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
