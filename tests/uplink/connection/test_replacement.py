"""When a silence of Takaro means a dead socket, and when another client with our identity."""

from services.uplink.connection.link_times import LINK_TIMES
from services.uplink.connection.replacement import AT_MOST_EVERY_S, Finding, OtherClientWatch

QUIET_AFTER_S = LINK_TIMES.quiet_after_s
LATE_S = QUIET_AFTER_S + 1


def heard(at_s: float) -> OtherClientWatch:
    quiet = OtherClientWatch(QUIET_AFTER_S)
    assert quiet.check(0.0, at_s, at_s) is Finding.NOTHING
    return quiet


def test_a_link_that_was_never_asked_gets_a_new_socket_now_and_then_and_suspects_no_client() -> None:
    """The socket may be older than that of a killed uplink, which Takaro then asks."""
    quiet, identified_s, found = OtherClientWatch(QUIET_AFTER_S), 0.0, []
    for at_s in map(float, range(0, 2 * 3_600, 5)):
        if (finding := quiet.check(identified_s, None, at_s)) is not Finding.NOTHING:
            found.append(finding)
            identified_s = at_s
    assert found == 2 * [Finding.NO_REQUESTS]


def test_a_socket_that_is_asked_every_30_s_is_well() -> None:
    quiet = OtherClientWatch(QUIET_AFTER_S)
    findings = {quiet.check(0.0, at_s - at_s % 30, at_s) for at_s in map(float, range(0, 7_200, 5))}
    assert findings == {Finding.NOTHING}


def test_a_socket_that_falls_silent_is_replaced_once() -> None:
    quiet = heard(30.0)
    assert quiet.check(0.0, 30.0, 30.0 + QUIET_AFTER_S - 1) is Finding.NOTHING
    assert quiet.check(0.0, 30.0, 30.0 + LATE_S) is Finding.NO_REQUESTS


def test_a_new_socket_gets_its_time_before_it_counts_as_not_asked() -> None:
    quiet = heard(0.0)
    assert quiet.check(0.0, 0.0, LATE_S) is Finding.NO_REQUESTS
    identified_s = LATE_S + 1
    assert quiet.check(identified_s, None, identified_s + QUIET_AFTER_S - 1) is Finding.NOTHING


def test_requests_on_a_new_socket_end_the_suspicion() -> None:
    quiet = heard(0.0)
    assert quiet.check(0.0, 0.0, LATE_S) is Finding.NO_REQUESTS
    for at_s in map(float, range(110, 7_200, 10)):
        assert quiet.check(103.0, at_s, at_s) is Finding.NOTHING


def test_if_the_new_socket_is_not_asked_either_it_is_logged_once_an_hour() -> None:
    quiet, identified_s, asked_s = heard(0.0), 0.0, 0.0
    found: list[tuple[float, Finding]] = []
    for at_s in map(float, range(0, 2 * 3_600, 5)):
        finding = quiet.check(identified_s, None if found else asked_s, at_s)
        if finding is not Finding.NOTHING:
            found.append((at_s, finding))
        if finding is Finding.NO_REQUESTS:
            identified_s = at_s  # on a new socket
    assert [finding for _, finding in found] == 2 * [Finding.NO_REQUESTS, Finding.USURPED]
    (first_s, _), (said_s, _), (again_s, _), _ = found
    assert said_s - first_s == QUIET_AFTER_S and again_s - said_s == AT_MOST_EVERY_S


def test_it_is_logged_once_that_takaro_asks_again() -> None:
    quiet = heard(0.0)
    assert quiet.check(0.0, 0.0, LATE_S) is Finding.NO_REQUESTS
    assert quiet.check(110.0, None, 110 + LATE_S) is Finding.USURPED
    assert quiet.check(110.0, 300.0, 301.0) is Finding.ASKED_AGAIN
    assert quiet.check(110.0, 330.0, 331.0) is Finding.NOTHING


def test_a_client_that_comes_and_goes_is_logged_once_an_hour() -> None:
    quiet = heard(0.0)
    found = []
    for at_s in map(float, range(0, 3_600, 5)):
        found.append(quiet.check(0.0, at_s - at_s % 300, at_s))  # asked every 300 s
    assert found.count(Finding.USURPED) == 1 == found.count(Finding.NO_REQUESTS)
