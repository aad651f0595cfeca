"""POST calls with an Idempotency-Key: they are carried out once, and a repeat gets the first answer.

A call is noted in Redis before it is carried out, so a message is never sent twice: if modapi dies in
between, its repeats hear that nobody knows how it ended. An answer with a secret is not stored. Those calls
recognise their repeats by the secret, which they make again (relay/instances/once.py).
"""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from services.modapi.admin.authentication import token_of
from services.modapi.admin.context import AdminContext
from services.modapi.admin.problems import ApiError, ErrorCode
from services.relay.instances.once import Once
from services.relay.protocol.errors import IdempotencyConflict, InstanceConflict, NoSuchInstance, StoreError
from services.relay.protocol.keys import CALL_ANSWERS, CALL_TIMES
from services.relay.store.calls import ignore_error
from services.relay.store.client import Script

KEPT_MS = 24 * 3600 * 1000
MOST_CALLS = 10_000  # number of calls that are remembered. The oldest go.

RUNNING_MS = 60_000
"""Age from which a call without an answer is not under way any more: modapi was ended meanwhile."""

WITHIN_S = 2.5

USED_OTHERWISE = (
    "this Idempotency-Key was used for another call: each call needs its own, and its repeats the same"
)

OUTCOME_UNKNOWN = "it is not known whether this was carried out"

_BEGIN, _END = Script("begin_call"), Script("end_call")
_KEYS = (CALL_ANSWERS, CALL_TIMES)
_NOT_DONE = (ApiError, StoreError, InstanceConflict, NoSuchInstance, HTTPException, RequestValidationError)

CarryOut = Callable[[Request], Awaitable[Response]]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
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


async def _once_of(request: Request, idempotency_key: IdempotencyKey = None) -> Once | None:
    """Describes the header, and checks it."""
    once: Once | None = getattr(request.state, "once", None)
    return once


OnceOf = Annotated[Once | None, Depends(_once_of)]
"""For calls that make a secret. None: the call has no Idempotency-Key."""


class OnceRoute(APIRoute):
    """Routes of which the POST calls take an Idempotency-Key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._is_post = options["methods"] == ["POST"]
        if self._is_post:
            options["dependencies"] = [*(options.get("dependencies") or []), Depends(_once_of)]
        super().__init__(*args, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        carry_out = super().get_route_handler()
        keeps_answer = {"mod_key", "token"}.isdisjoint(getattr(self.response_model, "model_fields", ()))

        async def handler(request: Request) -> Response:
            key = request.headers.get("idempotency-key", "")
            if not key:
                return await carry_out(request)
            return await _once(request, key.encode(), carry_out, keeps_answer=keeps_answer)

        return handler if self._is_post else carry_out


async def _once(request: Request, key: bytes, carry_out: CarryOut, *, keeps_answer: bool) -> Response:
    """Carries the call out, or gives the answer that is known.

    Raises ApiError, IdempotencyConflict, StoreError, and what the call raises.
    """
    context: AdminContext = request.app.state.context
    store, kept_ms = context.store, KEPT_MS + context.registry.records.clock.set_forward_ms
    token, body = token_of(request), await request.body()
    id = _mac(token, b"call", request.url.path.encode(), key).hex()
    call = {"asked": _mac(token, b"body", body).hex(), "claim": secrets.token_hex(16)}
    claim = orjson.dumps(call)
    try:
        known = await store.run_until(WITHIN_S, _BEGIN, _KEYS, id, claim, kept_ms, MOST_CALLS, durable=True)
    except StoreError:
        if keeps_answer:  # it may be noted, and is not carried out; calls with a secret are, by their repeats
            # A Redis that stands still reads what was sent to it when it goes on: the note comes only then.
            forgetting = asyncio.create_task(store.run_until(RUNNING_MS / 1000, _END, _KEYS, id, claim, b""))
            context.forgetting.add(forgetting)
            forgetting.add_done_callback(context.forgetting.discard)
            forgetting.add_done_callback(ignore_error)
        raise
    first: dict[str, Any] = orjson.loads(known[0]) if known else call
    if not hmac.compare_digest(first["asked"], call["asked"]):
        raise IdempotencyConflict(USED_OTHERWISE)
    if known and keeps_answer:
        return _first_answer(first, age_ms=known[1])
    seed = _mac(token, b"seed", first.get("claim", "").encode(), key)
    was_done = "status" in first
    request.state.once = Once(seed, was_done)
    if was_done:
        return await carry_out(request)
    note = known[0] if known else claim

    async def end(answer: bytes) -> None:
        with contextlib.suppress(StoreError):  # repeats hear then that the end is unknown
            await store.run_until(WITHIN_S, _END, _KEYS, id, note, answer, durable=True)

    try:
        response = await carry_out(request)
    except _NOT_DONE as error:
        is_unknown = isinstance(error, ApiError) and error.code is ErrorCode.OUTCOME_UNKNOWN
        # A new secret may have been stored all the same, by an earlier try too: a repeat makes the same one.
        if not known and not is_unknown and (keeps_answer or not isinstance(error, StoreError)):
            await end(b"")
        raise
    text = bytes(response.body).decode() if keeps_answer else ""
    await end(orjson.dumps({**first, "status": response.status_code, "body": text}))
    return response


def _first_answer(first: dict[str, Any], age_ms: int) -> Response:
    """The answer to a repeat. Raises ApiError if there is none."""
    if "status" in first:
        return Response(first["body"], first["status"], media_type="application/json")
    if age_ms < RUNNING_MS:
        raise ApiError(ErrorCode.CALL_UNDER_WAY, "this call is being carried out: ask again in a moment")
    raise ApiError(ErrorCode.OUTCOME_UNKNOWN, OUTCOME_UNKNOWN)


def _mac(token: str, *parts: bytes) -> bytes:
    """A digest of a call that reveals nothing to readers of Redis."""
    return hmac.digest(token.encode(), b"\0".join(parts), "sha256")
