"""Results of mods that nobody waits for: taken without complaint, passed on to nobody, counted."""

import time

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.modapi.commands import ModCommands
from services.modapi.dialect.roster import MOST_PLAYERS, Roster
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.facts import InstanceData
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from tests.support.hang_ups import cancelled_in

DONE = b'{"ok":true,"result":{}}'


class Counted:
    """One instance's operations, and what was counted of its results."""

    def __init__(self, store: Store, slug: str) -> None:
        self.registry = CollectorRegistry()
        self.stream = CommandStream(store, slug)
        logger = InstanceLogger(__name__, slug)
        self.roster = Roster()
        self.commands = ModCommands(self.stream, self.roster, ModapiMetrics(self.registry), logger)

    async def handed(self, action: Action = Action.SHUTDOWN) -> str:
        operation = new_operation_id(action)
        await self.stream.enqueue(Command(operation, action, {}), time.monotonic() + HAND_OUT_WITHIN_S)
        self.commands.poll_answer(await self.commands.stream.take())
        return operation

    def results(self) -> dict[str, float]:
        labels = {"action": Action.SHUTDOWN.value}
        name = "dayz_relay_results_total"
        found = {
            result: self.registry.get_sample_value(name, {**labels, "result": result}) or 0
            for result in ("accepted", "late", "unreadable")
        }
        found["foreign"] = self.registry.get_sample_value("dayz_relay_results_foreign_total") or 0
        return {result: count for result, count in found.items() if count}


async def test_the_first_result_is_accepted_and_a_repeated_one_is_late(store: Store, slug: str) -> None:
    mod = Counted(store, slug)
    operation = await mod.handed()
    assert await mod.commands.take_result(operation, DONE)
    assert not await mod.commands.take_result(operation, b'{"ok":false,"error":"ran twice?"}')
    assert mod.results() == {"accepted": 1, "late": 1}
    assert [outcome.error for _, _, outcome in await mod.stream.results("", 10)] == [""]


async def test_a_result_after_takaro_was_told_is_late(store: Store, slug: str) -> None:
    mod = Counted(store, slug)
    operation = await mod.handed()
    await mod.stream.give_up(operation)
    assert not await mod.commands.take_result(operation, DONE)
    assert mod.results() == {"late": 1}


async def test_a_result_that_cannot_be_read_is_the_end_of_its_command_all_the_same(
    store: Store, slug: str
) -> None:
    mod = Counted(store, slug)
    assert await mod.commands.take_result(await mod.handed(), b"\xff not JSON")
    assert mod.results() == {"unreadable": 1}


@pytest.mark.parametrize(
    ("operation", "counted"),
    [("shutdown-of-another-instance", "late"), ("noSuchAction-1", "foreign"), ("", "foreign")],
)
async def test_a_result_of_a_foreign_operation_is_ignored(
    store: Store, slug: str, operation: str, counted: str
) -> None:
    mod = Counted(store, slug)
    await mod.handed()
    assert not await mod.commands.take_result(operation, DONE)
    assert mod.results() == {counted: 1}
    assert await mod.stream.results("", 10) == []


async def test_rows_that_cannot_be_made_valid_are_counted_and_logged_once(
    store: Store, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    mod = Counted(store, slug)
    bans = b'[{"gameId":"1","expiresAt":"soon"},{"gameId":"2","expiresAt":1893805320},{"gameId":""}]'
    for _ in range(2):
        assert await mod.commands.take_result(
            await mod.handed(Action.LIST_BANS), b'{"ok":1,"result":%b}' % bans
        )
    _, _, outcome = (await mod.stream.results("", 10))[0]
    assert [ban["player"]["gameId"] for ban in outcome.value] == ["2"]
    labels = {"action": Action.LIST_BANS.value}
    assert mod.registry.get_sample_value("dayz_relay_result_rows_left_out_total", labels) == 4
    assert caplog.text.count("2 rows of the mod's answer to listBans are left out") == 1


async def test_a_list_of_players_is_cut_at_the_number_that_is_remembered(store: Store, slug: str) -> None:
    """To complete a new player costs 25 µs, in which no other call is answered: a result may list 800,000."""
    mod = Counted(store, slug)
    players = orjson.dumps([{"gameId": str(76561198000000000 + n)} for n in range(20_000)])
    assert await mod.commands.take_result(
        await mod.handed(Action.GET_PLAYERS), b'{"ok":1,"result":%b}' % players
    )
    _, _, outcome = (await mod.stream.results("", 10))[0]
    assert len(outcome.value) == len(await InstanceData(store, slug).players()) == MOST_PLAYERS
    labels = {"limit": "mirror_players"}
    assert mod.registry.get_sample_value("dayz_relay_refused_total", labels) == 1


async def test_players_are_not_forgotten_with_a_result_that_is_cancelled(store: Store, slug: str) -> None:
    mod = Counted(store, slug)
    first, second = await mod.handed(Action.GET_PLAYERS), await mod.handed(Action.GET_PLAYERS)
    mod.roster.complete({"gameId": "76561198000000001", "name": "Ada"})
    await cancelled_in(CommandStream, "complete", mod.commands.take_result(first, DONE))
    assert await mod.commands.take_result(second, DONE)
    assert list(await InstanceData(store, slug).players()) == ["76561198000000001"]
