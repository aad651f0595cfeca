"""POST calls with an Idempotency-Key: they are carried out once, and a repeat gets the first answer.

A call is noted in Redis before it is carried out, so a message is never sent twice: if modapi dies in
between, its repeats hear that nobody knows how it ended. An answer with a secret is not stored. Those calls
recognise their repeats by themselves, and make the same secret again (relay/instances/once.py).
"""

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, SecretStr
from starlette.exceptions import HTTPException

from services.modapi.admin.authentication import token_of
from services.modapi.admin.models import CreatedToken, RotatedServer
from services.modapi.admin.problems import ApiError, ErrorCode
from services.relay.instances.once import USED_OTHERWISE, Once
from services.relay.protocol.errors import IdempotencyConflict, InstanceConflict, NoSuchInstance, StoreError
from services.relay.protocol.keys import CALL_ANSWERS, CALL_TIMES
from services.relay.store.client import Script, Store

KEPT_MS = 24 * 3600 * 1000
MOST_CALLS = 10_000  # number of calls that are remembered. The oldest go.

RUNNING_MS = 60_000
"""Age from which a call without an answer is not under way any more: modapi was ended meanwhile."""

WITHIN_S = 2.5

OUTCOME_UNKNOWN = "it is not known whether this was carried out"

_MOST_CHARS = 255
_BEGIN, _END = Script("begin_call"), Script("end_call")
_KEYS = (CALL_ANSWERS, CALL_TIMES)
_NOT_DONE = (ApiError, StoreError, InstanceConflict, NoSuchInstance, HTTPException, RequestValidationError)

CarryOut = Callable[[Request], Awaitable[Response]]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=_MOST_CHARS,
        pattern="^[!-~]+$",
        description=(
            "Any word that is new for each call, as a UUID. A repeat with the same word, body and token,"
            " within a day, gets the first answer (of create and rotate: the same key) and changes nothing:"
            " send it again when no answer came. 409 if the word was used for another body"
            " (`idempotency_conflict`), while the first call runs (`call_under_way`), or if nobody knows how"
            " it ended (`outcome_unknown`)."
        ),
    ),
]


def _described(idempotency_key: IdempotencyKey = None) -> None:
    """Describes the header, and checks it."""


class OnceRoute(APIRoute):
    """Routes of which the POST calls take an Idempotency-Key.

    A call whose answer holds a secret recognises its repeats by itself (`once_of`): no such answer is stored.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._is_post = options["methods"] == ["POST"]
        if self._is_post:
            options["dependencies"] = [*(options.get("dependencies") or []), Depends(_described)]
        super().__init__(*args, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        carry_out = super().get_route_handler()
        keeps_answer = not issubclass(self.response_model or BaseModel, (RotatedServer, CreatedToken))

        async def handler(request: Request) -> Response:
            key = request.headers.get("idempotency-key", "")
            if not 0 < len(key) <= _MOST_CHARS:
                return await carry_out(request)
            return await _once(request, key, carry_out, keeps_answer=keeps_answer)

        return handler if self._is_post else carry_out


async def _once(request: Request, key: str, carry_out: CarryOut, *, keeps_answer: bool) -> Response:
    """Carries the call out, or gives the answer that is known.

    Raises ApiError, IdempotencyConflict, StoreError, and what the call raises.
    """
    store: Store = request.app.state.context.store
    token, body = token_of(request), await request.body()
    id = _mac(token, b"call", request.url.path.encode(), key.encode())
    asked = _mac(token, b"body", body)
    claim = orjson.dumps({"asked": asked, "claim": secrets.token_hex(8)})
    known = await store.run_until(WITHIN_S, _BEGIN, _KEYS, id, claim, KEPT_MS, MOST_CALLS, durable=True)
    if known:
        earlier = orjson.loads(known[0])
        request.state.was_done = "status" in earlier
        answer = _answer(earlier, asked, age_ms=known[1], keeps_answer=keeps_answer)
        return answer or await carry_out(request)

    async def end(answer: bytes) -> None:
        with contextlib.suppress(StoreError):  # repeats hear then that the end is unknown
            await store.run_until(WITHIN_S, _END, _KEYS, id, claim, answer, durable=True)

    try:
        response = await carry_out(request)
    except _NOT_DONE as error:
        if not (isinstance(error, ApiError) and error.code is ErrorCode.OUTCOME_UNKNOWN):
            await end(b"")
        raise
    text = bytes(response.body).decode() if keeps_answer else ""
    await end(orjson.dumps({"asked": asked, "status": response.status_code, "body": text}))
    return response


def _answer(known: dict[str, Any], asked: str, age_ms: int, *, keeps_answer: bool) -> Response | None:
    """The answer to a repeat; None: the call gives it by itself."""
    if not hmac.compare_digest(known["asked"], asked):
        raise IdempotencyConflict(USED_OTHERWISE)
    if not keeps_answer:
        return None
    if "status" in known:
        return Response(known["body"], known["status"], media_type="application/json")
    if age_ms < RUNNING_MS:
        raise ApiError(ErrorCode.CALL_UNDER_WAY, "this call is being carried out: ask again in a moment")
    raise ApiError(ErrorCode.OUTCOME_UNKNOWN, OUTCOME_UNKNOWN)


def _mac(token: str, *parts: bytes) -> str:
    """Tells nothing of a call to those who can read Redis."""
    return hmac.digest(token.encode(), b"\0".join(parts), hashlib.sha256).hex()


def once_of(call: str, slug: str, body: BaseModel, key: str | None, request: Request) -> Once | None:
    """What recognises a repeat of this call; None: it has no Idempotency-Key."""
    if key is None:
        return None
    fields = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in body.model_dump().items()
    }
    was_done = getattr(request.state, "was_done", False)
    return Once(key, json.dumps([call, slug, fields]), token_of(request), was_done)
