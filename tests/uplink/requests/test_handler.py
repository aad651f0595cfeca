"""What is counted of the requests that are answered."""

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.relay.protocol.limits import DEFAULT_LIMITS
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.uplink.reporting.metrics import FAILED_COMMANDS, UplinkMetrics
from services.uplink.requests.handler import MAX_OPEN, RequestHandler
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.takaro import failures, frames
from services.uplink.takaro.frames import Request
from tests.support.series import shown

PLAYER = {"gameId": "1"}


async def test_a_command_that_fails_is_counted_for_its_instance_and_a_read_is_not() -> None:
    results = iter([Outcome({}), Outcome(error="no such item"), failures.NO_RESULT])

    async def ask(command: Command) -> object:
        return next(results)

    async def find_answer(action: Action, args: dict[str, Any]) -> tuple[bytes, str]:
        return b"{}", failures.STORE_AWAY.cause

    metrics = UplinkMetrics(CollectorRegistry())
    metrics.instances.row("one")
    queue: Any = SimpleNamespace(ask=ask, lease=SimpleNamespace(slug="one"), metrics=metrics)
    reads: Any = SimpleNamespace(find_answer=find_answer, known_answer=lambda action, args: None)
    handler = RequestHandler(queue, reads, Mirror(), DEFAULT_LIMITS.frame_out_bytes)
    sent: list[bytes] = []
    writer: Any = SimpleNamespace(open=True, send=sent.append)
    for action, args in (
        (Action.GIVE_ITEM, PLAYER | {"item": "Apple"}),
        (Action.GIVE_ITEM, PLAYER | {"item": "Apple"}),
        (Action.KICK_PLAYER, PLAYER),
        (Action.GET_PLAYERS, {}),
    ):
        handler.take(writer, Request("id", action, args))
        [task] = handler.open_on(writer)
        await task
    assert len(sent) == 4 and shown(metrics.instances)[FAILED_COMMANDS.name, "one", ""] == 2


@pytest.mark.parametrize("action", [Action.SHUTDOWN, Action.GET_PLAYERS])
async def test_requests_without_end_are_refused_while_too_many_wait(action: Action) -> None:
    """While Redis is away no command counts as queued, and equal reads wait for one command."""

    async def never(*asked: object) -> Any:
        await asyncio.Event().wait()

    def error(action: Action, args: dict[str, Any], result: Outcome) -> tuple[bytes, str]:
        return orjson.dumps(frames.error_payload(result.error)), failures.QUEUE_FULL.cause

    metrics = UplinkMetrics(CollectorRegistry())
    metrics.instances.row("one")
    queue: Any = SimpleNamespace(ask=never, lease=SimpleNamespace(slug="one"), metrics=metrics)
    reads: Any = SimpleNamespace(
        find_answer=never, known_answer=lambda action, args: None, fallback_answer=error
    )
    handler = RequestHandler(queue, reads, Mirror(), DEFAULT_LIMITS.frame_out_bytes)
    sent: list[bytes] = []
    writer: Any = SimpleNamespace(open=True, send=sent.append)
    for number in range(MAX_OPEN + 2):
        handler.take(writer, Request(str(number), action, {}))
    assert len(handler.open_on(writer)) == MAX_OPEN and len(sent) == 2
    assert failures.QUEUE_FULL.error.encode() in sent[0]
    handler.close()
    await asyncio.sleep(0)
