"""What the mirror knows after events, reads and writes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.limits import Limits
from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import Action
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mirror.read_rules import (
    EVENT_WAITS_S,
    NOTHING,
    READ_RULES,
    AnswerAge,
    Reading,
    Subject,
)

NOW = 1_800_000_000.0
PLAYERS = Subject(Action.GET_PLAYERS)


def player(name: str) -> dict[str, Any]:
    return {"gameId": name, "name": f"Player {name}"}


def event(event_type: str, name: str, **more: Any) -> GameEvent:
    return {"type": event_type, "data": {"player": player(name), **more}}


def location(name: str) -> Subject:
    return Subject(Action.GET_PLAYER_LOCATION, name)


def inventory(name: str) -> Subject:
    return Subject(Action.GET_PLAYER_INVENTORY, name)


def value(reading: Reading) -> Any:
    assert reading.payload is not None
    return orjson.loads(reading.payload)


@pytest.fixture
def mirror() -> Mirror:
    """Ada and Bob are online; Ada's position and inventory are known."""
    mirror = Mirror()
    mirror.take_answer(PLAYERS, [player("ada"), player("bob")], NOW)
    mirror.take_answer(location("ada"), {"x": 1, "y": 2, "z": 3}, NOW)
    mirror.take_answer(inventory("ada"), [{"code": "Apple", "name": "Apple"}], NOW)
    return mirror


def online(mirror: Mirror, now_s: float = NOW) -> set[str]:
    return {p["gameId"] for p in value(mirror.read(PLAYERS, now_s))}


@pytest.mark.parametrize("action", READ_RULES)
def test_at_first_nothing_is_known(action: Action) -> None:
    assert Mirror().read(Subject(action, "ada"), NOW) == Reading(AnswerAge.UNKNOWN)


def test_an_answer_about_another_player_changes_nothing(mirror: Mirror) -> None:
    mirror.take_answer(Subject(Action.GET_PLAYER, "ada"), player("bob") | {"name": "Bobby"}, NOW)
    assert value(mirror.read(PLAYERS, NOW)) == [player("ada"), player("bob")]


def test_the_first_event_of_a_player_who_was_not_in_the_game_says_that_they_joined(mirror: Mirror) -> None:
    steps = [("connected", "ada"), ("connected", "eve"), ("connected", "eve")]
    steps += [("disconnected", "eve"), ("connected", "eve")]
    assert [mirror.take_event(event(f"player-{what}", name), NOW, NOW) for what, name in steps] == [
        *("", "eve", ""),
        *("", "eve"),
    ]


def test_the_players_online_follow_each_event(mirror: Mirror) -> None:
    mirror.take_event(event("player-connected", "eve"), NOW + 1, NOW)
    mirror.take_event(event("player-disconnected", "bob"), NOW + 2, NOW)
    mirror.take_event(event("chat-message", "zoe", msg="hi", channel="global"), NOW + 3, NOW)
    assert online(mirror) == {"ada", "eve", "zoe"}
    assert value(mirror.read(Subject(Action.GET_PLAYER, "eve"), NOW + 4)) == player("eve")


def test_an_event_from_before_the_mods_answer_changes_nothing(mirror: Mirror) -> None:
    """After an outage of Takaro, old events are sent while the mod's answers are new."""
    mirror.take_event(event("player-disconnected", "ada"), NOW - 3_600, NOW)
    mirror.take_event(event("player-connected", "eve"), NOW - 3_000, NOW)
    mirror.take_event(event("player-death", "ada", position={"x": 7, "y": 8, "z": 9}), NOW - 2_000, NOW)
    assert online(mirror) == {"ada", "bob"}
    assert orjson.loads(mirror.position_of("ada") or b"null") == {"x": 1, "y": 2, "z": 3}


def test_an_event_from_while_the_mods_answer_was_under_way_counts(mirror: Mirror) -> None:
    mirror.take_event(event("player-connected", "eve"), NOW - 2, NOW)
    assert online(mirror) == {"ada", "bob", "eve"}


def test_events_from_before_a_restart_of_the_game_bring_no_player_back(mirror: Mirror) -> None:
    mirror.game_restarted(NOW + 1_000)
    mirror.take_event(event("player-connected", "eve"), NOW + 10, NOW)
    mirror.take_event(event("player-connected", "zoe"), NOW + 1_001, NOW)
    assert mirror.online == 1


def test_the_list_of_the_mod_replaces_the_players_known_from_events(mirror: Mirror) -> None:
    mirror.take_answer(PLAYERS, [player("zoe")], NOW + 1)
    assert online(mirror) == {"zoe"}


def test_a_player_who_left_keeps_the_last_position(mirror: Mirror) -> None:
    mirror.take_event(event("player-disconnected", "ada"), NOW + 100, NOW)
    reading = mirror.read(location("ada"), NOW + 200)
    assert (reading.age, value(reading)) == (AnswerAge.FRESH, {"x": 1, "y": 2, "z": 3})
    assert value(mirror.read(inventory("ada"), NOW + 200)) == [{"code": "Apple", "name": "Apple"}]


@pytest.mark.parametrize("name", ["stranger", "bob"])
def test_no_answer_is_made_up_for_an_unknown_player(mirror: Mirror, name: str) -> None:
    assert mirror.read(location(name), NOW) == NOTHING
    assert mirror.read(inventory(name), NOW) == NOTHING


def test_an_event_waits_for_a_position_that_is_not_known_and_for_a_while_only(mirror: Mirror) -> None:
    assert not mirror.event_waits("eve", NOW)
    for name in ("eve", "ada"):  # ada's position is known
        mirror.take_event(event("player-connected", name), NOW - 3_600, NOW)
    waits = [mirror.event_waits(name, NOW + EVENT_WAITS_S) for name in ("eve", "ada", "bob")]
    assert waits == [True, False, False]
    assert not mirror.event_waits("eve", NOW + EVENT_WAITS_S + 1)
    mirror.take_answer(location("eve"), {"x": 1, "y": 2, "z": 3}, NOW + 1)
    assert not mirror.event_waits("eve", NOW + 2)


def test_the_next_owner_knows_waiting_events_and_the_count_of_made_up_positions(mirror: Mirror) -> None:
    for name in ("eve", "zoe"):
        mirror.take_event(event("player-connected", name), NOW, NOW)
    assert orjson.loads(mirror.make_up_position(NOW + 1)) == {"x": 0, "y": 0, "z": 0}
    mirror.take_answer(location("zoe"), {"x": 1, "y": 2, "z": 3}, NOW + 1)
    other = Mirror()
    other.restore(mirror.take_changes().mirror, NOW + 2)
    assert [other.event_waits(name, NOW + 3) for name in ("eve", "zoe")] == [True, False]
    other.make_up_position(NOW + 4)
    assert other.take_changes().mirror["made_up"] == b"%.3f 2" % (NOW + 4)


def test_the_mod_is_asked_about_an_unknown_player_who_is_online(mirror: Mirror) -> None:
    assert mirror.read(location("bob"), NOW).age is AnswerAge.UNKNOWN
    assert mirror.read(inventory("bob"), NOW).age is AnswerAge.UNKNOWN


def test_an_old_position_is_still_given(mirror: Mirror) -> None:
    reading = mirror.read(location("ada"), NOW + 100)
    assert (reading.age, value(reading)) == (AnswerAge.STALE, {"x": 1, "y": 2, "z": 3})


def test_a_death_sets_the_position_of_its_player(mirror: Mirror) -> None:
    mirror.take_event(event("player-death", "ada", position={"x": 7, "y": 8, "z": 9}), NOW + 1, NOW)
    assert value(mirror.read(location("ada"), NOW + 1)) == {"x": 7, "y": 8, "z": 9}
    assert orjson.loads(mirror.position_of("ada") or b"null") == {"x": 7, "y": 8, "z": 9}


def test_a_write_makes_what_it_changes_known_or_unknown(mirror: Mirror) -> None:
    mirror.take_answer(Subject(Action.LIST_BANS), [], NOW)
    mirror.take_write(Action.TELEPORT_PLAYER, {"gameId": "ada", "x": 4.0, "y": 5.0, "z": 6.0}, NOW + 1)
    mirror.take_write(Action.GIVE_ITEM, {"gameId": "ada", "item": "Apple"}, NOW + 1)
    mirror.take_write(Action.BAN_PLAYER, {"gameId": "eve"}, NOW + 1)
    assert value(mirror.read(location("ada"), NOW + 1)) == {"x": 4.0, "y": 5.0, "z": 6.0}
    assert mirror.read(inventory("ada"), NOW + 1).age is not AnswerAge.FRESH
    assert mirror.read(Subject(Action.LIST_BANS), NOW + 1).age is AnswerAge.UNKNOWN


def test_nobody_is_online_after_a_restart_of_the_game_until_the_mod_says_so(mirror: Mirror) -> None:
    mirror.take_answer(Subject(Action.LIST_ITEMS), [], NOW)
    mirror.game_restarted(NOW + 1)
    assert mirror.read(PLAYERS, NOW + 1).age is AnswerAge.UNKNOWN
    assert mirror.read(Subject(Action.LIST_ITEMS), NOW + 1).age is AnswerAge.STALE
    assert orjson.loads(mirror.position_of("ada") or b"null") == {"x": 1, "y": 2, "z": 3}


def test_everything_outlives_a_restart_of_the_relay(mirror: Mirror) -> None:
    mirror.take_answer(Subject(Action.LIST_ITEMS), [{"code": "Apple", "name": "Apple"}], NOW)
    changes = mirror.take_changes()
    assert changes.catalogues == {"listItems": b'[{"code":"Apple","name":"Apple"}]'}
    assert mirror.take_changes() == ({}, {})
    again = Mirror()
    again.restore(changes.mirror, NOW + 10)
    assert online(again) == {"ada", "bob"}
    for subject in (location("ada"), inventory("ada"), Subject(Action.LIST_ITEMS)):
        assert again.read(subject, NOW + 10) == mirror.read(subject, NOW + 10)


def test_the_next_owner_knows_which_answers_are_out_of_date(mirror: Mirror) -> None:
    mirror.take_answer(Subject(Action.LIST_ITEMS), [], NOW)
    before = mirror.take_changes().mirror
    mirror.take_write(Action.GIVE_ITEM, {"gameId": "ada", "item": "Apple"}, NOW + 1)
    mirror.game_restarted(NOW + 1)
    again = Mirror()
    again.restore(before | mirror.take_changes().mirror, NOW + 2)
    assert again.read(Subject(Action.LIST_ITEMS), NOW + 2).age is AnswerAge.STALE
    assert again.read(inventory("ada"), NOW + 2).age is AnswerAge.UNKNOWN


def test_an_uplink_that_stood_by_knows_what_went_out_of_date_meanwhile(mirror: Mirror) -> None:
    items, bans = Subject(Action.LIST_ITEMS), Subject(Action.LIST_BANS)
    for catalogue in (items, bans):
        mirror.take_answer(catalogue, [], NOW)
    saved = mirror.take_changes().mirror
    again = Mirror()
    again.restore(saved, NOW + 1)
    mirror.take_write(Action.GIVE_ITEM, {"gameId": "ada", "item": "Apple"}, NOW + 2)
    mirror.take_write(Action.UNBAN_PLAYER, {"gameId": "eve"}, NOW + 2)
    mirror.game_restarted(NOW + 2)
    stored = {name: value for name, value in (saved | mirror.take_changes().mirror).items() if value}
    again.restore(stored, NOW + 3)
    for subject in (PLAYERS, items, bans, inventory("ada"), location("ada")):
        assert again.read(subject, NOW + 3) == mirror.read(subject, NOW + 3)


def test_what_was_saved_does_not_hide_what_an_uplink_learned_before_it_could_save(mirror: Mirror) -> None:
    bans = Subject(Action.LIST_BANS)
    mirror.take_answer(bans, [], NOW)
    saved = mirror.take_changes().mirror
    mirror.take_write(Action.GIVE_ITEM, {"gameId": "ada", "item": "Apple"}, NOW + 1)
    mirror.take_write(Action.BAN_PLAYER, {"gameId": "eve"}, NOW + 1)
    mirror.game_restarted(NOW + 1)
    mirror.put_back(mirror.take_changes())
    mirror.restore(saved, NOW + 2)
    for subject in (PLAYERS, bans, inventory("ada")):
        assert mirror.read(subject, NOW + 2).age is AnswerAge.UNKNOWN


def test_changes_that_could_not_be_stored_come_again_unless_they_are_older(mirror: Mirror) -> None:
    lost = mirror.take_changes()
    mirror.take_answer(location("ada"), {"x": 9, "y": 9, "z": 9}, NOW + 1)
    mirror.put_back(lost)
    again = Mirror()
    again.restore(mirror.take_changes().mirror, NOW + 2)
    assert value(again.read(location("ada"), NOW + 2)) == {"x": 9, "y": 9, "z": 9}
    assert online(again) == {"ada", "bob"}


@pytest.mark.parametrize(
    "stored",
    [{}, {"online": b""}, {"online": b"1.0 {"}, {"online": b"1.0 [1]"}, {"getPlayerLocation:x": b"x"}],
)
def test_an_unreadable_entry_is_left_out(stored: dict[str, bytes]) -> None:
    mirror = Mirror()
    mirror.restore(stored, NOW)
    assert mirror.read(PLAYERS, NOW) == Reading(AnswerAge.UNKNOWN)


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    mirror = Mirror(Limits(mirror_players=2))
    for number, name in enumerate("abca"):
        mirror.take_answer(location(name), {"x": number, "y": 0, "z": 0}, NOW + number)
    assert [mirror.position_of(name) is not None for name in "abc"] == [True, False, True]
    assert mirror.take_changes().mirror["getPlayerLocation:b"] == b""


def test_the_age_that_an_operator_sees_is_that_of_the_oldest_answer_about_somebody_online(
    mirror: Mirror,
) -> None:
    mirror.take_answer(location("bob"), {"x": 0, "y": 0, "z": 1}, NOW + 50)
    assert mirror.oldest_s(Action.GET_PLAYER_LOCATION) == NOW
    mirror.take_event(event("player-disconnected", "ada"), NOW + 60, NOW)
    assert mirror.oldest_s(Action.GET_PLAYER_LOCATION) == NOW + 50
    assert Mirror().oldest_s(Action.GET_PLAYERS) is None


def test_an_unknown_answer_has_no_age(mirror: Mirror) -> None:
    mirror.take_write(Action.GIVE_ITEM, {"gameId": "ada"}, NOW + 1)
    assert mirror.oldest_s(Action.GET_PLAYER_INVENTORY) is None


NAMES = st.sampled_from(["ada", "bob", "eve"])


@given(st.lists(st.tuples(st.sampled_from(["player-connected", "player-disconnected"]), NAMES), max_size=40))
def test_players_who_connected_and_did_not_leave_are_online(story: list[tuple[str, str]]) -> None:
    mirror, expected = Mirror(), set()
    mirror.take_answer(PLAYERS, [], NOW)
    for what, name in story:
        mirror.take_event(event(what, name), NOW, NOW)
        (expected.add if what == "player-connected" else expected.discard)(name)
    assert online(mirror) == expected
    again = Mirror()
    again.restore(mirror.take_changes().mirror, NOW)
    assert online(again) == expected


def test_ages_outlive_a_reboot_of_the_machine(mirror: Mirror) -> None:
    saved = mirror.take_changes(ahead_s=1_000.0).mirror  # by the wall clock, which is so far before ours
    again, now_s = Mirror(), 60.0
    again.restore(saved, now_s, ahead_s=NOW + 1_000.0 + 10.0 - now_s)  # ten seconds later
    assert again.read(location("ada"), now_s).age is AnswerAge.FRESH
    assert again.read(location("ada"), now_s + READ_RULES[location("ada").action].fresh_s - 9.0).age is (
        AnswerAge.STALE
    )
