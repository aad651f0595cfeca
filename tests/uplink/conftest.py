"""What several tests of uplink begin with."""

from collections.abc import AsyncIterator

import pytest

from services.relay.store.client import Store
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.linked import TOKEN, Linked


@pytest.fixture
async def linked(store: Store, slug: str) -> AsyncIterator[Linked]:
    """One instance, linked to a simulated Takaro that can misbehave."""
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        linked = Linked(takaro, store, slug)
        yield linked
        await linked.end()
