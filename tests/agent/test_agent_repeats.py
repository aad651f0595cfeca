"""A line that is in two logs is sent once; a line that is twice in one log is sent twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.files import LogKind
from services.agent.repeats import WINDOW_S, Repeats

RPT, SCRIPT, ADM = LogKind.RPT, LogKind.SCRIPT, LogKind.ADM
Line = tuple[float, LogKind, str, bool]


@pytest.mark.parametrize(
    "lines",
    [
        # The RPT has the line first, with the time in front; the script log has it later, without.
        [(0, RPT, "9:04:47.430 SCRIPT       : [Logout]: x", False), (15, SCRIPT, "[Logout]: x", True)],
        [(0, RPT, "17:03:01.672 SCRIPT    (E): bad", False), (15, SCRIPT, "SCRIPT (E): bad", True)],
        [(0, SCRIPT, "[Mod]  two   blanks", False), (1, RPT, "1:00:00 [Mod] two blanks", True)],
        # Equal lines in one log are different lines. Each matches one line of the other log.
        [(0, RPT, "a", False), (0, RPT, "a", False), (9, SCRIPT, "a", True), (9, SCRIPT, "a", True)],
        [(0, RPT, "a", False), (9, SCRIPT, "a", True), (9, SCRIPT, "a", False), (10, RPT, "a", True)],
        [(0, RPT, "a", False), (1, SCRIPT, "b", False), (2, ADM, "c", False)],
        # Too late.
        [(0, RPT, "a", False), (WINDOW_S + 1, SCRIPT, "a", False)],
        [(0, RPT, "a", False), (WINDOW_S, SCRIPT, "a", True)],
        # The older one is too old, the newer one is not.
        [
            (0, RPT, "a", False),
            (50, RPT, "a", False),
            (WINDOW_S + 5, SCRIPT, "a", True),
            (WINDOW_S + 5, SCRIPT, "a", False),
        ],
    ],
)
def test_a_line_of_two_logs_is_sent_once(lines: list[Line]) -> None:
    seen = Repeats()
    for at_s, kind, text, repeated in lines:
        assert seen.is_repeat(kind, text, at_s) is repeated


Written = st.tuples(st.integers(0, 40), st.sampled_from([RPT, SCRIPT]), st.sampled_from("ab"))


@given(st.lists(Written, max_size=60))
def test_a_line_passes_as_often_as_it_is_in_the_log_that_has_it_most(
    written: list[Written],
) -> None:
    seen, now_s = Repeats(), 0.0
    passed, counts = 0, {(kind, text): 0 for kind in (RPT, SCRIPT) for text in "ab"}
    for after_s, kind, text in written:
        now_s += after_s / 100  # all of it within the window
        counts[kind, text] += 1
        passed += not seen.is_repeat(kind, text, now_s)
    least = sum(max(counts[RPT, text], counts[SCRIPT, text]) for text in "ab")
    assert least <= passed <= len(written)
    # Each line that did not pass matches a different line of the other log.
    assert len(written) - passed <= sum(min(counts[RPT, text], counts[SCRIPT, text]) for text in "ab")


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(list(LogKind)), st.sampled_from("abc")), max_size=80
    )
)
def test_a_line_in_one_log_only_is_never_dropped_and_nothing_is_kept_forever(
    written: list[tuple[int, LogKind, str]],
) -> None:
    seen, now_s = Repeats(), 0.0
    for number, (after_s, kind, text) in enumerate(written):
        now_s += after_s
        seen.is_repeat(kind, text, now_s)
        assert not seen.is_repeat(kind, f"line {number} alone", now_s)
    seen.is_repeat(RPT, "last", now_s + WINDOW_S + 1)
    assert len(seen) == 1


def test_the_number_of_remembered_lines_is_bounded() -> None:
    seen = Repeats(most=10)
    for number in range(100):
        seen.is_repeat(RPT, str(number), 0)
    assert len(seen) == 10
    assert seen.is_repeat(SCRIPT, "99", 0) and not seen.is_repeat(SCRIPT, "5", 0)
