"""The benchmarks measure nothing here: they are run for a moment so that they cannot rot."""

from pathlib import Path

import pytest

from bench import burst, compare, cpu, events, pace, traffic
from bench.harness import bench, bench_of_up
from bench.plan import Plan
from bench.report import RESULTS
from bench.run import BENCHES
from services.relay.protocol.command_states import NOT_DELIVERED
from services.uplink.takaro import failures

pytestmark = pytest.mark.flow


async def test_a_load_of_two_instances_is_delivered_and_accounted_for() -> None:
    async with bench(2) as at:
        result = await cpu.run(at, cpu.Load(2, 5, 200))
        assert (result.load.events, result.delivered, result.failed) == (200, 200, 0)

        timed = await events.measure(at, rate=200.0, seconds=0.5, idle_s=0.1, warm_up_s=0.1)
        assert len(timed.since_answer) == len(timed.since_post) == timed.events == 100
        assert min(timed.since_post) > 0
        assert all(memory.rss >= memory.pss > 0 for memory in at.memory().values())


async def test_mods_of_the_bench_answer_what_its_takaro_asks() -> None:
    async with bench(2) as at:
        await at.mods.call("join", players=1)
        await at.mods.call("live", poll_s=0.05)
        await at.drained()
        report = await at.sink.call("burst", players=[traffic.player(0).game_id])
        assert (report["asked"], report["answered"], report["errors"]) == (10, 10, {})
        given = await at.sink.call("give", count=4, seconds=0.1, player=traffic.player(0).game_id)
        assert (given["answered"], given["errors"]) == (4, {})


def test_the_results_have_a_place_for_every_bench() -> None:
    text = RESULTS.read_text()
    assert [name for name in ("figures", *BENCHES) if f"<!-- {name} -->" not in text] == []


async def test_a_burst_of_a_hundred_servers_with_fifty_players_each_is_answered_to_the_last_request() -> None:
    """10,300 requests at one moment, to servers of which nothing is known but who is online.

    An inventory that the mod could not be asked for in time is an error: none is made up.
    """
    players = [traffic.player(number).game_id for number in range(burst.PLAYERS)]
    async with bench(burst.INSTANCES) as at:
        await at.mods.call("join", players=burst.PLAYERS)
        await at.mods.call("live")
        await at.drained()
        report = await at.sink.call("burst", players=players)
    assert (report["asked"], report["answered"]) == (10_300, 10_300)
    late = tuple(f"getPlayerInventory: {why}" for why in (NOT_DELIVERED, failures.NO_ANSWER.error))
    assert [text for text in report["errors"] if not text.startswith(late)] == []


async def test_at_the_pace_each_event_is_delivered_and_each_request_answered() -> None:
    async with bench_of_up(Plan()) as at:
        result = await pace.measure(at, players=2, sync_s=0.6)
    assert result.delivered == result.sent > 0
    assert result.report["answered"] == result.report["asked"] > 3 + 2 * 2
    assert result.cpu.parts.keys() == result.memory.keys() == {"supervisor", "modapi", "uplink", "store"}
    assert (result.failures, result.report["errors"]) == ({}, {})
    assert result.numbers["MiB RSS"] > 0


def test_two_trees_are_compared_by_the_medians_of_their_turns() -> None:
    other = Path("other")
    turns: list[tuple[Path | None, dict[str, float]]] = [
        (None, {"CPU": 9.0}),
        (other, {"CPU": 20.0}),
        (None, {"CPU": 11.0}),
        (other, {"CPU": 20.0, "unknown here": 1.0}),
    ]
    head, line = compare.table(turns).splitlines()
    assert line.split()[:4] == ["CPU", "10.0", "20.0", "0.50"]
