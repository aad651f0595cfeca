"""Answers the mods' HTTP calls in the only ways that the engine's client understands.

The client sees "2xx with a body", "4xx", "5xx", or nothing. An empty 2xx counts as a timeout, a redirect as a
failure (protocol.md M6). A mod repeats a refused call for ever, so bad content is never refused.

The router stands in front of FastAPI; the four calls (protocol.md M1 to M5) are not routes of it. Routes of
Starlette with raw ASGI endpoints were tried, by turns with this file, on 2 busy cores, median µs a call:
- closed loop: 391 here, 414 as routes (5 turns); 298, 361 (9 turns, +21 %);
- 200 calls a second of 100 servers: 690 and 768 (5 turns, +11 %), 617 and 674 (9 turns, +9 %).
modapi takes two fifths of the relay's CPU, so that is 4 and 8 % of the whole, without the guards below. They
were not kept because they replace nothing. The path of a mod is no route as it stands: the key, doubled
slashes and a missing id come off first, a key is checked on every path, and a HEAD must not take a poll's
commands. So this router would remain in front of them, and match each path first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from services.modapi.dialect.bodies import UnreadableBody, read_object
from services.modapi.events import EventIntake
from services.modapi.http.calls import CallKind, read_call
from services.modapi.http.mod_call import Callers, ModCall, read_body
from services.modapi.http.refusals import BEYOND_PACE, NOT_READ, REFUSALS, CutShort, Refused, TooLarge
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instance import ServedInstance
from services.modapi.served_instances import ServedInstances
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import FaultKind
from services.relay.service.http.addresses import Network, caller
from services.relay.service.logs import InstanceLogger

ANSWERED_WITHIN_S = 4.0
"""If an answer took longer, the mod may have hung up: the shortest time-out seen is 5 s."""

MAX_REGISTER_BYTES = 16 * 1024
"""Limit of the body of a registration, which is read before its sender is known."""

SMALL_BYTES = 64 * 1024
"""The listener reads this much of a body ahead, so a body of this size needs no reserved memory."""

MEMORY_WITHIN_S = 8.0
"""Time for which a result waits for memory. The listener and the mod give a call 10 s."""

OK = b'{"ok":true}'
_FORWARDED = b"x-forwarded-for"
_FULL = b'{"error":"too many events wait for Takaro, send it again later"}'


class ModAnswer(NamedTuple):
    """The answer to a call. `label` is for the metric, `held_s` how long a poll was held on purpose. `token`
    names the batch of `intake` whose answer this is."""

    status: int
    body: bytes
    label: str = "ok"
    held_s: float = 0.0
    intake: EventIntake | None = None
    token: str = ""


class ModRouter:
    """Answers the calls of mods and of the log agent, and refuses wrong keys. Everything else goes to `app`,
    with the key taken off the path."""

    def __init__(
        self,
        app: ASGIApp,
        served_instances: ServedInstances,
        metrics: ModapiMetrics,
        trusted: Sequence[Network] = (),
    ) -> None:
        self._app = app
        self._served_instances = served_instances
        self._credentials = served_instances.credentials
        self._limits = served_instances.limits
        self._trusted = trusted
        self._callers = Callers(
            self._credentials, served_instances.wrong_calls, self._limits.wrong_keys_per_minute
        )
        self._metrics = metrics
        self.answered_within_s = ANSWERED_WITHIN_S
        self._calls: dict[CallKind, Callable[[ModCall], Awaitable[ModAnswer]]] = {
            CallKind.EVENTS: self._events,
            CallKind.AGENT: self._events,
            CallKind.POLL: self._poll,
            CallKind.RESULT: self._result,
            CallKind.REGISTER: self._register,
            CallKind.OTHER: self._unknown_path,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parsed = read_call(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        if parsed.kind is CallKind.OTHER:
            slug = self._credentials.slug_for(parsed.key, scope["headers"])
            if not parsed.key or slug or not self._served_instances.complete():
                scope["path"] = parsed.path
                scope.setdefault("state", {})["slug"] = slug
                await self._app(scope, receive, send)
                return
        address = scope["client"][0]
        if self._trusted:
            forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED]
            address = caller(address, forwarded, self._trusted)
        call = ModCall(parsed, address, scope, receive, scope["state"]["arrival"], self.answered_within_s)
        try:
            answer = await self._calls[parsed.kind](call)
        except (Exception, asyncio.CancelledError) as error:
            answer = self._refused(error, call)
        is_gone = call.arrival.connection.is_gone
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer.body)).encode()),
        ]
        if answer.status in NOT_READ:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        took_s = time.monotonic() - call.arrival.at_s - answer.held_s
        if answer.intake and (is_gone or took_s < self.answered_within_s):
            answer.intake.stream.notes.answered(answer.token, arrived=not is_gone)
        self._metrics.answered[parsed.kind, answer.label].inc()
        self._metrics.took[parsed.kind].observe(took_s)

    async def _events(self, call: ModCall) -> ModAnswer:
        """Takes a batch, or the beginning of one that is too long: after a 4xx the mod would repeat it. What
        no mod sends, more than a result may have, gets a 4xx all the same."""
        instance = await self._admitted(call, call.parsed.key)
        body, size_bytes = await read_body(
            call.scope,
            call.receive,
            refuse_beyond_bytes=self._limits.result_bytes,
            keep_bytes=self._limits.body_bytes,
            memory=instance.batch_memory,
        )
        if size_bytes > len(body):
            self._metrics.beyond("body_bytes")
            self._callers.log(
                call.address, "body", f"a batch of {size_bytes} bytes was cut at limits.body_bytes"
            )
        await call.raise_if_given_up()
        intake = instance.agent_intake
        if call.parsed.kind is CallKind.EVENTS:
            intake = instance.intake
            instance.mod.called(CallKind.EVENTS, call.address)

        async def before_storing(events: int, repaired: bool) -> None:
            instance.rate_limits.posted(events, len(body), repaired=repaired)
            await call.raise_if_given_up()

        taken = await intake.take(body, call.arrival.at_s, before_storing)
        if not taken.token:
            return ModAnswer(503, _FULL, "full")
        return ModAnswer(200, OK, intake=intake, token=taken.token)

    async def _poll(self, call: ModCall) -> ModAnswer:
        instance = await self._admitted(call, call.parsed.key)
        await call.raise_if_given_up()
        instance.mod.called(CallKind.POLL, call.address)
        polled = await instance.polls.answer(call.arrival.connection, call.raise_if_given_up)
        if polled.answer is None:
            return self._refused(CutShort(), call)._replace(held_s=polled.held_s)
        return ModAnswer(200, polled.answer, held_s=polled.held_s)

    async def _result(self, call: ModCall) -> ModAnswer:
        """A result counts at any age, also if its mod is gone: it is posted once, and the first one counts.
        So one that a request waits for is not refused for lack of memory: it waits for memory."""
        scope, operation_id = call.scope, call.parsed.operation_id
        instance = await self._admitted(call, call.parsed.key)
        limit = self._limits.result_bytes
        size_bytes = int(dict(scope["headers"]).get(b"content-length", limit))
        held_bytes = min(size_bytes, limit) if size_bytes > SMALL_BYTES else 0
        if held_bytes and not instance.result_memory.reserve(held_bytes):
            asked = await instance.commands.is_asked(operation_id)
            if not asked or not await instance.result_memory.wait_to_reserve(held_bytes, MEMORY_WITHIN_S):
                raise Refused(BEYOND_PACE, limit="result_bytes")
        try:
            body, _ = await read_body(scope, call.receive, refuse_beyond_bytes=limit)
            instance.mod.called(CallKind.RESULT, call.address)
            if not await instance.commands.take_result(operation_id, body):
                instance.rate_limits.posted_unasked(len(body))
        finally:
            if held_bytes:
                instance.result_memory.release(held_bytes)
        return ModAnswer(200, OK)

    async def _register(self, call: ModCall) -> ModAnswer:
        """The credential that the mod presents from now on, and the id for its paths. It is the key that the
        mod came with: of a stored instance only digests of keys are known."""
        parsed, scope = call.parsed, call.scope
        body, _ = await read_body(scope, call.receive, refuse_beyond_bytes=MAX_REGISTER_BYTES)
        opens = bool(self._credentials.slug_for(parsed.key, scope["headers"]))
        repairs = opens or self._callers.may_try_key(call.address)
        registration = _registration(body, repairs=repairs)
        key = self._callers.registration_key(parsed, registration)
        instance = await self._admitted(call, key)
        slug = instance.settings.slug
        if key != parsed.key and parsed.key:
            self._callers.log(
                call.address,
                "url",
                f"the mod of {slug} has the right RegistrationToken and a wrong key"
                " in TakaroApiUrl: its other calls are refused",
                slug,
            )
        instance.mod.called(CallKind.REGISTER, call.address)
        instance.mod.registered(registration.get("bridgeVersion"))
        keys = instance.settings.mod_keys
        credential = key or (keys[0] if keys else instance.settings.identity_token).get_secret_value()
        game_server_id = await instance.game_server_id()
        return ModAnswer(200, orjson.dumps({"identityToken": credential, "gameServerId": game_server_id}))

    async def _unknown_path(self, call: ModCall) -> ModAnswer:
        raise self._callers.refusal_of(call.parsed.key, call.address)

    async def _admitted(self, call: ModCall, key: str) -> ServedInstance:
        """The instance that `key` opens. Raises Refused, StoreError."""
        parsed, served = call.parsed, self._served_instances
        instance = served.instances.get(self._credentials.slug_for(key, call.scope["headers"]))
        if instance is None and parsed.kind is CallKind.RESULT:
            instance = served.lately_served(key)
        if instance is None:
            if not served.complete():
                raise StoreError("Redis: the stored instances are not known yet")
            raise self._callers.refusal_of(key, call.address)
        call.slug = instance.settings.slug
        beyond = instance.rate_limits.beyond(time.monotonic(), parsed.kind)
        if beyond and not (
            parsed.kind is CallKind.RESULT and await instance.commands.is_asked(parsed.operation_id)
        ):
            raise Refused(BEYOND_PACE, limit=beyond)
        return instance

    def _refused(self, error: BaseException, call: ModCall) -> ModAnswer:
        """The answer to a call that an error ended, which is counted and logged here."""
        slug, limit = call.slug, ""
        if isinstance(error, Refused):
            refusal, slug, limit = error.refusal, error.slug or slug, error.limit
        else:
            refusal = next(one for kind, one in REFUSALS.items() if isinstance(error, kind))
        if isinstance(error, TooLarge):
            limit = "result_bytes" if call.parsed.kind is CallKind.RESULT else "body_bytes"
        if limit:
            self._metrics.beyond(limit)
        status, body, label, topic, log = refusal
        if log:
            age_s = call.arrival.age_s()
            known = {"slug": slug, "limit": limit, "call": call.parsed.kind, "error": error, "age_s": age_s}
            self._callers.log(call.address, topic.format(**known), log.format(**known), slug)
        if refusal is REFUSALS[Exception] and isinstance(error, Exception):
            self._metrics.service.faults.caught(InstanceLogger(__name__, slug), FaultKind.REQUEST, error)
        return ModAnswer(status, body, label)


def _registration(body: bytes, *, repairs: bool) -> dict[str, Any]:
    """The fields of a registration; none if the body cannot be read, because the key alone is enough. To
    repair broken JSON is a thousand times the work."""
    try:
        read = read_object(body) if repairs else orjson.loads(body)
    except (UnreadableBody, orjson.JSONDecodeError):
        return {}
    return read if isinstance(read, dict) else {}
