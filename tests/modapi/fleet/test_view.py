"""What the readers of all servers get, many at once."""

import asyncio
import time

import pytest

from services.modapi.fleet.view import FleetView
from services.relay.instances.directory import Directory
from services.relay.instances.wrong_keys import WrongKeyCall, WrongKeyCalls
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import OwnFaults
from services.relay.service.settings import ModApi, Settings
from services.relay.store.client import Store


async def test_while_redis_is_away_no_reader_waits_for_the_failures_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails_late(_: WrongKeyCalls) -> list[WrongKeyCall]:
        await asyncio.sleep(0.2)
        raise StoreError("Redis: away")

    directory = Directory(Settings(), None, {}, store, lambda since_s: None)
    view = FleetView(directory, store, ModApi(), OwnFaults())
    with monkeypatch.context() as patch:
        patch.setattr(WrongKeyCalls, "all", fails_late)
        since_s = time.monotonic()
        ends = await asyncio.gather(*(view.rows() for _ in range(20)), return_exceptions=True)
        assert [str(end) for end in ends] == ["Redis: away"] * 20
        assert time.monotonic() - since_s < 2.0
    assert await view.rows() == {}
