"""What Takaro refuses, and what the relay does about it, through real processes."""

from services.relay.vocabulary import Action
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from tests.flows.conftest import World

FAILING = (Action.GET_PLAYER, Action.GET_PLAYERS, Action.LIST_BANS)


async def test_an_answer_that_takaro_cannot_use_costs_no_event(single: World) -> None:
    """Takaro refuses an answer by an error frame too, under the id of the request."""
    side = single.side("solo")
    side.mod.failing = {action.value: "the game is busy" for action in FAILING}
    side.mod.join(make_player(1))
    lines = [f"line {number}" for number in range(30)]
    for number, text in enumerate(lines):
        side.mod.log(text)
        if number % 10 == 5:
            args = {Action.GET_PLAYER: requests.get_player("76561198099999999")}
            for action in FAILING:
                answer = await side.takaro.request(side.identity, action, args.get(action))
                assert answer.raw == {"error": "the game is busy"}
    await side.until(lambda: set(lines) <= set(side.messages()))

    assert side.messages() == lines
    metrics = await single.relay.uplink.metrics()
    assert metrics["dayz_relay_takaro_errors_total{kind=answer}"] == 9
    assert metrics["dayz_relay_takaro_errors_total{kind=invalid}"] == 0
    assert metrics["dayz_relay_events_refused_total"] == 0
    log = single.relay.uplink.log
    assert [log.count(f"cannot use the answer to {action}:") for action in FAILING] == [1, 1, 1]
    assert "Takaro refused something" not in log
