"""The outcome of a message that a person sends to a server."""

from typing import Any

import pytest

from services.relay.instances import messages
from services.relay.protocol.command_states import CommandState
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.records import Outcome
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream


class AnsweredLast(CommandStream):
    """The mod answers after the last look at the results, just before the command is given up."""

    async def give_up(self, operation_id: str, **how: Any) -> CommandState | None:
        await self.take()
        await self.complete(operation_id, Outcome(), {})
        return await super().give_up(operation_id, **how)


async def test_a_result_that_comes_as_the_message_is_given_up_counts(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "ANSWER_WITHIN_S", 0.0)
    monkeypatch.setattr(messages, "CommandStream", AnsweredLast)
    assert (await messages.send_message(store, slug, "hello", 10)).state is CommandEnd.ANSWERED


async def test_a_message_that_nobody_fetches_is_not_delivered(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "ANSWER_WITHIN_S", 0.0)
    assert (await messages.send_message(store, slug, "hello", 10)).state is CommandEnd.NOT_DELIVERED
