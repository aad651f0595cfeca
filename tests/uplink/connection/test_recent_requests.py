"""An error frame is recognised if it is about one of our recent requests."""

from services.uplink.connection.socket_requests import KEPT, RecentRequests


def test_a_request_is_known_by_its_id_and_any_other_id_is_not() -> None:
    asked = RecentRequests()
    assert asked.action_of("a") is None
    asked.add("a", "getPlayers")
    asked.add("b", "")
    assert [asked.action_of(one) for one in ("a", "b", "c", "")] == ["getPlayers", "", None, None]


def test_the_oldest_requests_are_forgotten() -> None:
    asked = RecentRequests()
    for number in range(3 * KEPT + 5):
        asked.add(f"request {number}", f"action {number}")
    known = [number for number in range(3 * KEPT + 5) if asked.action_of(f"request {number}")]
    assert known == list(range(2 * KEPT + 5, 3 * KEPT + 5))
    assert asked.action_of(f"request {known[0]}") == f"action {known[0]}"


def test_the_name_of_an_action_is_cut() -> None:
    asked = RecentRequests()
    asked.add("a", "x" * 10_000)
    assert asked.action_of("a") == "x" * 50
