"""When Takaro's silence means a dead socket, and when somebody else in our place."""

from services.uplink.connection.other_client import AT_MOST_EVERY_S, QUIET_AFTER_S, Finding, OtherClientWatch

LATE_S = QUIET_AFTER_S + 1


def heard(at_s: float) -> OtherClientWatch:
    quiet = OtherClientWatch()
    assert quiet.look(0.0, at_s, at_s) is Finding.NOTHING
    return quiet


def test_one_that_was_never_asked_has_a_new_socket_now_and_then_and_nobody_is_suspected() -> None:
    """Its socket may be older than one of an uplink that was killed: Takaro asks that one."""
    quiet, identified_s, found = OtherClientWatch(), 0.0, []
    for at_s in map(float, range(0, 2 * 3_600, 5)):
        if (finding := quiet.look(identified_s, None, at_s)) is not Finding.NOTHING:
            found.append(finding)
            identified_s = at_s
    assert found == 2 * [Finding.NOT_ASKED]


def test_a_socket_that_is_asked_every_30_s_is_well() -> None:
    quiet = OtherClientWatch()
    looks = {quiet.look(0.0, at_s - at_s % 30, at_s) for at_s in map(float, range(0, 7_200, 5))}
    assert looks == {Finding.NOTHING}


def test_a_socket_that_falls_silent_is_replaced_once() -> None:
    quiet = heard(30.0)
    assert quiet.look(0.0, 30.0, 30.0 + QUIET_AFTER_S - 1) is Finding.NOTHING
    assert quiet.look(0.0, 30.0, 30.0 + LATE_S) is Finding.NOT_ASKED


def test_the_new_socket_has_its_time_before_it_is_judged() -> None:
    quiet = heard(0.0)
    assert quiet.look(0.0, 0.0, LATE_S) is Finding.NOT_ASKED
    identified_s = LATE_S + 1
    assert quiet.look(identified_s, None, identified_s + QUIET_AFTER_S - 1) is Finding.NOTHING


def test_a_new_socket_that_is_asked_mends_it() -> None:
    quiet = heard(0.0)
    assert quiet.look(0.0, 0.0, LATE_S) is Finding.NOT_ASKED
    for at_s in map(float, range(110, 7_200, 10)):
        assert quiet.look(103.0, at_s, at_s) is Finding.NOTHING


def test_when_the_new_one_is_not_asked_either_it_is_said_once_an_hour_and_nobody_fights() -> None:
    quiet, identified_s, asked_s = heard(0.0), 0.0, 0.0
    found: list[tuple[float, Finding]] = []
    for at_s in map(float, range(0, 2 * 3_600, 5)):
        finding = quiet.look(identified_s, None if found else asked_s, at_s)
        if finding is not Finding.NOTHING:
            found.append((at_s, finding))
        if finding is Finding.NOT_ASKED:
            identified_s = at_s  # on a new socket
    assert [finding for _, finding in found] == 2 * [Finding.NOT_ASKED, Finding.USURPED]
    (first_s, _), (said_s, _), (again_s, _), _ = found
    assert said_s - first_s == QUIET_AFTER_S and again_s - said_s == AT_MOST_EVERY_S


def test_that_takaro_asks_again_is_said_once() -> None:
    quiet = heard(0.0)
    assert quiet.look(0.0, 0.0, LATE_S) is Finding.NOT_ASKED
    assert quiet.look(110.0, None, 110 + LATE_S) is Finding.USURPED
    assert quiet.look(110.0, 300.0, 301.0) is Finding.ASKED_AGAIN
    assert quiet.look(110.0, 330.0, 331.0) is Finding.NOTHING


def test_one_who_comes_and_goes_is_told_of_once_an_hour() -> None:
    quiet = heard(0.0)
    found = []
    for at_s in map(float, range(0, 3_600, 5)):
        found.append(quiet.look(0.0, at_s - at_s % 300, at_s))  # asked every 300 s
    assert found.count(Finding.USURPED) == 1 == found.count(Finding.NOT_ASKED)
