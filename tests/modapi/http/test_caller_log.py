"""The log of modapi does not grow with the number of its callers."""

from services.modapi.http.caller_log import AGAIN_AFTER_S, LINES_A_MINUTE, CallerLog
from services.modapi.http.rate_limits import MAX_SOURCES


def test_a_line_is_said_once_a_minute_for_each_source() -> None:
    said = CallerLog()
    assert [said.again("401", "a", at_s) for at_s in (0.0, 1.0, 59.0)] == [0, None, None]
    assert said.again("401", "b", 1.0) == 0
    assert said.again("413", "a", 1.0) == 0
    assert said.again("401", "a", AGAIN_AFTER_S) == 0


def test_of_a_kind_so_many_lines_are_said_a_minute_and_the_rest_is_counted() -> None:
    said = CallerLog()
    lines = [said.again("401", str(source), 0.0) for source in range(LINES_A_MINUTE + 100)]
    assert lines == [0] * LINES_A_MINUTE + [None] * 100
    assert said.again("413", "1", 0.0) == 0  # others are not silenced by it
    assert said.again("401", "new", 60.0) == 100
    assert said.again("401", "newer", 60.0) == 0


def test_a_million_sources_take_no_more_memory_than_the_limit() -> None:
    said = CallerLog()
    for source in range(MAX_SOURCES + 1_000):
        said.again("401", str(source), 0.0)
    assert len(said) == MAX_SOURCES
