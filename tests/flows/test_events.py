"""Each event of each generation of mods, through real processes, into a Takaro that validates."""

import itertools

import orjson
import pytest

from services.relay.protocol.vocabulary import Action, EventType
from services.sim.dayz.events import Channel
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import HOSTILE_NAMES, Player, make_player
from services.sim.takaro import requests
from services.sim.takaro.socket import Accepted
from tests.flows.conftest import FlowWorld, Side

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count(1, 5)
GENERATIONS = [generation.value for generation in Generation]


async def next_event(side: Side, event_type: EventType, game_id: str) -> Accepted:
    """The first event of that type about that player."""

    def found() -> list[Accepted]:
        return [
            event
            for event in side.events
            if event.type == event_type and event.data.get("player", {}).get("gameId") == game_id
        ]

    await side.until(found)
    return found()[0]


@pytest.fixture
def side(world: FlowWorld, generation: str) -> Side:
    return world.side(generation)


@pytest.fixture
def player() -> Player:
    """A person whom no other test of this module meets."""
    return make_player(next(NUMBERS))


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_player_connects_and_disconnects_as_the_same_person(side: Side, player: Player) -> None:
    side.mod.join(player)
    connected = await next_event(side, EventType.PLAYER_CONNECTED, player.game_id)
    assert connected.data["player"]["name"] == player.name
    assert connected.data["player"]["steamId"] == player.game_id
    side.mod.leave(player.game_id)
    left = await next_event(side, EventType.PLAYER_DISCONNECTED, player.game_id)
    assert left.data["player"]["name"] == player.name


@pytest.mark.parametrize(
    ("channel", "shown"), [(Channel.GLOBAL, "global"), (Channel.DIRECT, "global"), (Channel.TEAM, "team")]
)
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_chat_arrives_on_a_channel_that_takaro_knows(
    side: Side, player: Player, channel: Channel, shown: str
) -> None:
    side.mod.join(player)
    side.mod.chat(player.game_id, "hello there", channel)
    chat = await next_event(side, EventType.CHAT_MESSAGE, player.game_id)
    assert (chat.data["msg"], chat.data["channel"]) == ("hello there", shown)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_death_names_victim_killer_place_and_weapon(side: Side, player: Player) -> None:
    killer = make_player(700_001)
    side.mod.join(player)
    if killer.game_id not in side.mod.world.players:
        side.mod.join(killer)
    side.mod.die(player.game_id, killer.game_id, "AKM")
    death = await next_event(side, EventType.PLAYER_DEATH, player.game_id)
    assert death.data["attacker"]["gameId"] == killer.game_id
    assert death.data["position"] == pytest.approx(dict(zip("xyz", player.position, strict=True)))
    assert "AKM" in death.data["msg"]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_infected_that_is_killed_arrives_with_its_weapon(side: Side, player: Player) -> None:
    side.mod.join(player)
    side.mod.kill_entity(player.game_id, "ZmbM_usSoldier_normal_Base", "M4A1")
    killed = await next_event(side, EventType.ENTITY_KILLED, player.game_id)
    assert (killed.data["entity"], killed.data["weapon"]) == ("ZmbM_usSoldier_normal_Base", "M4A1")


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_log_line_arrives_whatever_field_it_came_in(side: Side) -> None:
    side.mod.log("Average server FPS: 239.30")
    await side.until(lambda: "Average server FPS: 239.30" in side.messages())


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_no_name_can_keep_its_owner_out(side: Side, player: Player, name: str) -> None:
    player.name = name
    side.mod.join(player)
    side.mod.chat(player.game_id, "it is me")
    chat = await next_event(side, EventType.CHAT_MESSAGE, player.game_id)
    assert chat.data["msg"] == "it is me"


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_event_that_nobody_can_read_costs_its_neighbours_nothing(
    side: Side, generation: str, world: FlowWorld
) -> None:
    before = await world.relay.modapi.metrics()
    side.mod.log(f"before {generation}")
    side.mod.emit_raw(b'{"type":"log","msg":}}}{{{')
    side.mod.log(f"after {generation}")
    await side.until(lambda: {f"before {generation}", f"after {generation}"} <= set(side.messages()))
    after = await world.relay.modapi.metrics()
    dead = sum(value for name, value in after.items() if name.startswith("dayz_relay_events_dead_total"))
    assert dead - sum(v for n, v in before.items() if n.startswith("dayz_relay_events_dead_total")) >= 1


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_nobody_speaks_as_another_player(side: Side, player: Player) -> None:
    admin = make_player(next(NUMBERS))
    side.mod.join(admin)
    await next_event(side, EventType.PLAYER_CONNECTED, admin.game_id)
    for number, ids in enumerate(
        (
            f'"gameId":"{player.game_id}","name":"x","gameId":"{admin.game_id}","steamId":"{player.game_id}"',
            f'"gameId":"{admin.game_id}","name":"x","steamId":"{player.game_id}"',
        )
    ):
        said = f"/ban everybody {player.game_id} {number}"
        side.mod.emit_raw(f'{{"type":"chat-message","msg":"{said}","player":{{{ids}}}}}'.encode())

        def found(said: str = said) -> list[Accepted]:
            return [event for event in side.events if event.data.get("msg") == said]

        await side.until(found)
        assert "player" not in found()[0].data
    side.mod.leave(admin.game_id)
    left = await next_event(side, EventType.PLAYER_DISCONNECTED, admin.game_id)
    assert left.data["player"]["name"] == admin.name


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_player_who_was_asked_for_while_offline_is_recognised_by_the_bis_id(
    side: Side, player: Player
) -> None:
    await side.takaro.request(side.identity, Action.GET_PLAYER, requests.get_player(player.game_id))
    bis_id = player.bis_id.rstrip("=")
    record = {"gameId": player.game_id, "name": player.name, "platformId": f"dayz:{bis_id}"}
    side.mod.emit_raw(orjson.dumps({"type": "player-connected", "player": record}))
    side.mod.emit_raw(orjson.dumps({"type": "player-disconnected", "player": {"gameId": bis_id, "name": ""}}))
    left = await next_event(side, EventType.PLAYER_DISCONNECTED, player.game_id)
    assert left.data["player"]["platformId"] == f"dayz:{bis_id}"
    assert left.data["player"]["name"] == player.name


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_chat_line_without_a_sender_arrives_as_a_system_message(side: Side) -> None:
    side.mod.emit_raw(
        b'{"type":"chat-message","channel":"system","msg":"Restart in 5 minutes","player":null}'
    )

    def found() -> list[Accepted]:
        return [event for event in side.events if event.data.get("msg") == "Restart in 5 minutes"]

    await side.until(found)
    assert "player" not in found()[0].data


async def test_takaro_refused_nothing_and_lost_nothing(world: FlowWorld) -> None:
    assert world.takaro.refused == []
    assert world.takaro.lost == []
