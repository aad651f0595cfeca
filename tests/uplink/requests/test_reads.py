"""How long a read waits for the mod."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.relay.protocol.vocabulary import Action
from services.relay.service.arrivals import Stalls
from services.relay.service.clocks import boottime_s
from services.uplink.requests import reads
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.reads import Reads
from services.uplink.takaro import failures


async def test_a_read_that_waited_unread_waits_that_much_less_for_the_mod(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reads, "MOD_ANSWERS_WITHIN_S", 60.0)
    now_s = boottime_s()
    stalls = Stalls(now_s - 59.9)
    stalls.alive(now_s)  # this process stood still in between
    contact = SimpleNamespace(store_away=False, silent_s=0.1)
    queue: Any = SimpleNamespace(stalls=stalls, contact=contact, metrics=None)
    persistence: Any = SimpleNamespace(mirror=Mirror())
    data: Any = SimpleNamespace(slug="one")
    answering = Reads(queue, persistence, data, 4.0).find_answer(Action.GET_PLAYERS, {})
    _, source = await asyncio.wait_for(answering, 10.0)
    assert source == failures.NO_ANSWER.cause
