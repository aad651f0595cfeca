"""The mods' HTTP: bodies in, answers out, in the only ways the engine's client understands.

It sees "2xx with a body", "4xx", "5xx", or nothing: an empty 2xx counts as a timeout, a redirect as a failure
(contract.md A2). Any refusal makes the mod send the same again for ever, so bad content is never one.
This is plain ASGI in front of FastAPI: these calls are nearly all of the traffic.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.calls import Call, CallKind, read_call
from services.modapi.credentials import Credentials
from services.modapi.dialect.mend import Unreadable, read_object
from services.modapi.metrics import Metrics
from services.modapi.served import ServedInstance
from services.relay.errors import StoreError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
MAX_RESULT_BYTES = 16 * 1024 * 1024
"""The answer to listItems is several MB in one POST (contract.md A1)."""

BODY_WITHIN_S = 10.0
"""The mod's own budget for a request: what takes longer, it has given up."""

ANSWERED_WITHIN_S = 4.0
"""An answer that took longer may have met a mod that had hung up (5 s is the shortest budget seen)."""

SAY_AGAIN_AFTER_S = 60.0

OK = b'{"ok":true}'
_UNAUTHORIZED = b'{"error":"unknown key: compare TakaroApiUrl in the mod\'s config.json with relay.toml"}'
_TOO_LARGE = b'{"error":"the body is too large"}'
_AWAY = b'{"error":"the store is away, send it again"}'
_FULL = b'{"error":"too many events wait for Takaro, send it again later"}'

Answer = tuple[int, bytes, str]
"""HTTP status, body, label for the metric."""


class TooLarge(Exception):
    """A body is beyond its limit."""


class CutShort(Exception):
    """The mod hung up in the middle of its body, or while its poll was held."""


class ModWire:
    """Answers the four calls of a mod; everything else goes on to `app`, with the key taken off the path."""

    def __init__(
        self, app: ASGIApp, credentials: Credentials, instances: dict[str, ServedInstance], metrics: Metrics
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._instances = instances
        self._metrics = metrics
        self._said: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = read_call(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        if call.kind is CallKind.OTHER:
            scope["path"] = call.path
            scope["state"] = {"slug": self._credentials.slug_for(call.key)}
            await self._app(scope, receive, send)
            return
        await self._answer(call, scope, receive, send)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        begun_s = time.monotonic()
        token = ""
        instance: ServedInstance | None = None
        try:
            limit = MAX_RESULT_BYTES if call.kind is CallKind.RESULT else MAX_BODY_BYTES
            body = b"" if call.method == "GET" else await read_body(scope, receive, limit)
            instance = self._instance(call, body)
            if instance is None:
                self._say(scope, "401", "a call with a key that opens no instance was refused")
                status, answer, label = 401, _UNAUTHORIZED, "unauthorized"
            elif call.kind is CallKind.EVENTS:
                instance.heard(call.kind)
                taken = await instance.intake.take(body)
                token = taken.token
                status, answer, label = (200, OK, "ok") if token else (503, _FULL, "full")
            elif call.kind is CallKind.POLL:
                instance.heard(call.kind)
                polled = await instance.polls.answer(lambda: hung_up(receive))
                if polled.answer is None:
                    raise CutShort
                begun_s += polled.held_s
                status, answer, label = 200, polled.answer, "ok"
            elif call.kind is CallKind.RESULT:
                instance.heard(call.kind)
                await instance.operations.take_result(call.operation_id, body)
                status, answer, label = 200, OK, "ok"
            else:
                instance.heard(call.kind)
                status, answer, label = 200, await registered(instance), "ok"
        except StoreError as error:
            self._say(scope, "store", f"{error}: mods are asked to send again")
            status, answer, label = 503, _AWAY, "store-away"
        except TooLarge:
            self._say(scope, "413", f"a {call.kind.value} body was too large and was refused")
            status, answer, label = 413, _TOO_LARGE, "too-large"
        except (CutShort, TimeoutError):
            self._metrics.calls.labels(call.kind.value, "cut-short").inc()
            return
        there = not token or not _gone(receive)
        await _send(send, status, answer)
        took_s = time.monotonic() - begun_s
        if instance and token and there and took_s < ANSWERED_WITHIN_S:
            instance.intake.answered(token)
        self._metrics.answered(call.kind, label, took_s)

    def _instance(self, call: Call, body: bytes) -> ServedInstance | None:
        """The instance that the call's secret opens; to register, the mod key may be in the body as well."""
        key = call.key
        if call.kind is CallKind.REGISTER:
            try:
                sent = read_object(body).get("registrationToken")
            except Unreadable:
                sent = None
            if not self._credentials.slug_for(key) and isinstance(sent, str):
                key = sent
            elif not key and isinstance(sent, str) and self._credentials.slug_for(sent):
                key = sent
        return self._instances.get(self._credentials.slug_for(key))

    def _say(self, scope: Scope, what: str, text: str) -> None:
        """A mod repeats itself every second or two; the log does not."""
        address = (scope.get("client") or ("?", 0))[0]
        key = f"{what} {address}"
        now_s = time.monotonic()
        if now_s - self._said.get(key, -SAY_AGAIN_AFTER_S) < SAY_AGAIN_AFTER_S:
            return
        if len(self._said) > 1_000:
            self._said.clear()
        self._said[key] = now_s
        logger.warning("from %s: %s", address, text)


async def registered(instance: ServedInstance) -> bytes:
    """What a mod is told: the credential that it will present from now on, and the id for its paths."""
    keys = instance.settings.mod_keys
    credential = (keys[0] if keys else instance.settings.identity_token).get_secret_value()
    return orjson.dumps({"identityToken": credential, "gameServerId": await instance.game_server_id()})


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, CutShort, TimeoutError."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise TooLarge
    message = await receive()
    if not message.get("more_body"):
        return _chunk(message, 0, limit_bytes)
    async with asyncio.timeout(BODY_WITHIN_S):
        chunks = [_chunk(message, 0, limit_bytes)]
        size = len(chunks[0])
        while message.get("more_body"):
            message = await receive()
            chunks.append(_chunk(message, size, limit_bytes))
            size += len(chunks[-1])
    return b"".join(chunks)


def _chunk(message: Message, size: int, limit_bytes: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise CutShort
    chunk: bytes = message.get("body", b"")
    if size + len(chunk) > limit_bytes:
        raise TooLarge
    return chunk


async def hung_up(receive: Receive) -> None:
    """Waits until the mod is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _gone(receive: Receive) -> bool:
    """Has the mod hung up? Looks without waiting: one step of receive() either has the news or would wait."""
    waiting = receive()
    step: Callable[[None], object] = waiting.send  # type: ignore[attr-defined]
    try:
        step(None)
    except StopIteration as news:
        return bool(news.value["type"] == "http.disconnect")
    waiting.close()  # type: ignore[attr-defined]
    return False


async def _send(send: Callable[[Message], Awaitable[None]], status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
