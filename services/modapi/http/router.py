"""The mods' HTTP: bodies in, answers out, in the only ways the engine's client understands.

It sees "2xx with a body", "4xx", "5xx", or nothing: an empty 2xx counts as a timeout, a redirect as a failure
(protocol.md M6). Any refusal makes the mod send the same again for ever, so bad content is never one.
This is plain ASGI in front of FastAPI: these calls are nearly all of the traffic.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.modapi.dialect.mend import UnreadableBody, read_object
from services.modapi.events import EventIntake
from services.modapi.http.bodies import (
    ANSWERED_WITHIN_S,
    BeyondPace,
    CutShort,
    StoodStill,
    TooLarge,
    announced_bytes,
    arrival_of,
    gone,
    hung_up,
    read_body,
    read_long_body,
    still_waits,
)
from services.modapi.http.callers import Callers
from services.modapi.http.calls import CallKind, ModCall, read_call
from services.modapi.http.rate_limits import Posts
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instance import ServedInstance
from services.modapi.served_instances import ServedInstances
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import FaultKind
from services.relay.service.http.addresses import Network
from services.relay.service.logs import InstanceLogger

logger = logging.getLogger(__name__)

MAX_REGISTER_BYTES = 16 * 1024
"""It is read before it is known who sends it."""

SMALL_BYTES = 64 * 1024
"""So much of a body is in memory before it is asked for."""

ROOM_WITHIN_S = 8.0
"""The listener gives a request 10 s to be there, and so does its mod."""

_POSTS = {
    CallKind.EVENTS: Posts.EVENTS,
    CallKind.AGENT: Posts.EVENTS,
    CallKind.RESULT: Posts.RESULT,
}

NOT_READ = frozenset({401, 413, 429})
"""With these the rest of the request is not read, so nothing can follow on that connection."""

OK = b'{"ok":true}'
_TOO_MUCH = b'{"error":"more than this server may send, send it again later"}'
_TOO_LARGE = b'{"error":"the body is too large"}'
_AWAY = b'{"error":"the store is away, send it again"}'
_LATE = b'{"error":"this was read too late, send it again"}'
_FAULT = b'{"error":"a fault of the relay, its log says more"}'
_FULL = b'{"error":"too many events wait for Takaro, send it again later"}'


class ModRouter:
    """Answers the four calls of a mod; everything else goes on to `app`, with the key taken off the path."""

    def __init__(
        self,
        app: ASGIApp,
        served_instances: ServedInstances,
        metrics: ModapiMetrics,
        trusted: Sequence[Network] = (),
    ) -> None:
        self._app = app
        self._served_instances = served_instances
        self._callers = Callers(served_instances, metrics, trusted)
        self._metrics = metrics
        self._limits = served_instances.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = read_call(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        if call.kind is CallKind.OTHER:
            scope["path"] = call.path
            slug = self._callers.slug(call.key, scope)
            if call.key and not slug and self._served_instances.complete():
                status, answer, label = self._callers.unknown_call(call.key, scope)
                await _send(send, status, answer)
                self._metrics.answered(call.kind, label, 0.0)
                return
            scope.setdefault("state", {})["slug"] = slug
            await self._app(scope, receive, send)
            return
        await self._answer(call, scope, receive, send)

    async def _answer(self, call: ModCall, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = arrival_of(scope)
        begun_s = arrival.at_s
        token = ""
        instance: ServedInstance | None = None
        intake: EventIntake | None = None
        registration: dict[str, Any] = {}
        try:
            key = call.key
            if call.kind is CallKind.REGISTER:
                body = await read_body(scope, receive, MAX_REGISTER_BYTES)
                mends = bool(self._callers.slug(key, scope)) or self._callers.is_within(scope)
                registration = _registration(body, mends=mends)
                key = self._callers.key(call, registration)
            instance = self._served_instances.instances.get(self._callers.slug(key, scope))
            if instance is None and call.kind is CallKind.RESULT:
                instance = self._served_instances.waits_for_results(key)
            if instance is None and not self._served_instances.complete():
                raise StoreError("Redis: the stored instances are not known yet")
            if instance is None:
                status, answer, label = self._callers.unknown_call(key, scope)
            elif beyond := await self._beyond(call, instance):
                raise self._put_off(beyond, instance, scope)
            elif call.kind in (CallKind.EVENTS, CallKind.AGENT):
                # What is too long is no 4xx, it would be sent again for ever: it is read as far as it may be.
                body, size_bytes = await read_long_body(
                    scope, receive, self._limits.result_bytes, self._limits.body_bytes, instance.incoming
                )
                if size_bytes > len(body):
                    self._metrics.beyond("body_bytes")
                    self._callers.say(
                        scope, "body", f"a batch of {size_bytes} bytes was cut at limits.body_bytes"
                    )
                intake = instance.agent_intake
                await still_waits(arrival, receive, ANSWERED_WITHIN_S)
                if call.kind is CallKind.EVENTS:
                    intake = instance.intake
                    instance.heard(call.kind, self._callers.address(scope))
                taken = await intake.take(
                    body, begun_s, lambda: still_waits(arrival, receive, ANSWERED_WITHIN_S)
                )
                token = taken.token
                instance.pace.posted(taken.events, len(body), mended=taken.mended)
                status, answer, label = (200, OK, "ok") if token else (503, _FULL, "full")
            elif call.kind is CallKind.POLL:
                await still_waits(arrival, receive, ANSWERED_WITHIN_S)
                instance.heard(call.kind, self._callers.address(scope))
                polled = await instance.polls.answer(
                    lambda: hung_up(receive), partial(still_waits, arrival, receive)
                )
                if polled.answer is None:
                    raise CutShort
                begun_s += polled.held_s
                status, answer, label = 200, polled.answer, "ok"
            elif call.kind is CallKind.RESULT:
                await self._take_result(call, instance, scope, receive)
                status, answer, label = 200, OK, "ok"
            else:
                if key != call.key and call.key:
                    self._callers.say(
                        scope,
                        "url",
                        f"the mod of {instance.settings.slug} has the right RegistrationToken and a wrong key"
                        " in TakaroApiUrl: its other calls are refused",
                        instance.settings.slug,
                    )
                instance.heard(call.kind, self._callers.address(scope))
                instance.registered(registration.get("bridgeVersion"))
                status, answer, label = 200, await registered(instance, key), "ok"
        except StoreError as error:
            self._callers.say(scope, "store", f"{error}: mods are asked to send again")
            status, answer, label = 503, _AWAY, "store-away"
        except TooLarge:
            self._metrics.beyond("result_bytes" if call.kind is CallKind.RESULT else "body_bytes")
            self._callers.say(scope, "413", f"a {call.kind.value} body was too large and was refused")
            status, answer, label = 413, _TOO_LARGE, "too-large"
        except BeyondPace:
            status, answer, label = 429, _TOO_MUCH, "too-much"
        except CutShort:
            self._metrics.calls.labels(call.kind.value, "cut-short").inc()
            await _send(send, 503, _LATE)  # to nobody; but the loop may not have read that yet
            return
        except StoodStill:
            self._callers.say(
                scope,
                "standstill",
                f"modapi stood still (frozen, or the machine is too busy): a request had waited for"
                f" {arrival.age_s():.0f} s, its mod is asked to send it again",
            )
            status, answer, label = 503, _LATE, "stood-still"
        except Exception as error:
            slug = instance.settings.slug if instance else ""
            self._metrics.service.faults.caught(InstanceLogger(logger, slug), FaultKind.REQUEST, error)
            status, answer, label = 500, _FAULT, "fault"
        except asyncio.CancelledError:  # this process stops, and the mod is too slow to wait for
            status, answer, label = 503, _AWAY, "stopping"
        there = not token or not gone(receive)
        await _send(send, status, answer)
        took_s = time.monotonic() - begun_s
        if intake and token and not there:
            intake.unanswered(token)
        elif intake and token and took_s < ANSWERED_WITHIN_S:
            intake.answered(token)
        self._metrics.answered(call.kind, label, took_s)

    async def _beyond(self, call: ModCall, instance: ServedInstance) -> str:
        """The limit that the call is beyond, "" for none. Raises StoreError."""
        beyond = instance.pace.beyond(time.monotonic(), _POSTS.get(call.kind, Posts.NOTHING))
        if beyond and call.kind is CallKind.RESULT and await instance.operations.is_asked(call.operation_id):
            return ""
        return beyond

    def _put_off(self, beyond: str, instance: ServedInstance, scope: Scope) -> BeyondPace:
        self._metrics.beyond(beyond)
        slug = instance.settings.slug
        self._callers.say(scope, beyond, f"{slug} is beyond limits.{beyond} and is put off", slug)
        return BeyondPace()

    async def _take_result(
        self, call: ModCall, instance: ServedInstance, scope: Scope, receive: Receive
    ) -> None:
        """Of any age, and of a mod that is gone too: it is posted once, and the first one counts.

        For the same reason one that is asked for waits for room in memory, and is not put off.
        """
        limit = self._limits.result_bytes
        size_bytes = announced_bytes(scope)
        held_bytes = (
            0 if size_bytes is not None and size_bytes <= SMALL_BYTES else min(size_bytes or limit, limit)
        )
        if not instance.room.enter(held_bytes):
            asked = await instance.operations.is_asked(call.operation_id)
            if not asked or not await instance.room.wait(held_bytes, ROOM_WITHIN_S):
                raise self._put_off("result_bytes", instance, scope)
        try:
            body, _ = await read_long_body(scope, receive, limit, limit, None)
            instance.heard(call.kind, self._callers.address(scope))
            if not await instance.operations.take_result(call.operation_id, body):
                instance.pace.posted_unasked(len(body))
        finally:
            instance.room.leave(held_bytes)


def _registration(body: bytes, *, mends: bool) -> dict[str, Any]:
    """What a mod says of itself; nothing, if that cannot be read: it is let in by its key all the same.

    Broken JSON is mended only if it `mends`: that is a thousand times the work.
    """
    try:
        read = read_object(body) if mends else orjson.loads(body)
    except (UnreadableBody, orjson.JSONDecodeError):
        return {}
    return read if isinstance(read, dict) else {}


async def registered(instance: ServedInstance, key: str) -> bytes:
    """What a mod is told: the credential that it will present from now on, and the id for its paths.

    It is the one it came with: of a stored instance no other is known.
    """
    keys = instance.settings.mod_keys
    credential = key or (keys[0] if keys else instance.settings.identity_token).get_secret_value()
    return orjson.dumps({"identityToken": credential, "gameServerId": await instance.game_server_id()})


async def _send(send: Callable[[Message], Awaitable[None]], status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in NOT_READ:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
