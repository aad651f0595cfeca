"""The same line in two logs is one line; twice in one log it is two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent import repeats
from services.agent.files import LogKind
from services.agent.repeats import WINDOW_S, Repeats

RPT, SCRIPT, ADM = LogKind.RPT, LogKind.SCRIPT, LogKind.ADM
Line = tuple[float, LogKind, str, bool]


@pytest.mark.parametrize(
    "lines",
    [
        # In the RPT with the time in front, in the script log later and without it.
        [(0, RPT, "9:04:47.430 SCRIPT       : [Logout]: x", False), (15, SCRIPT, "[Logout]: x", True)],
        [(0, RPT, "17:03:01.672 SCRIPT    (E): bad", False), (15, SCRIPT, "SCRIPT (E): bad", True)],
        [(0, SCRIPT, "[Mod]  two   blanks", False), (1, RPT, "1:00:00 [Mod] two blanks", True)],
        # In one log: lines of their own, and each has its own twin in the other.
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
def test_a_line_is_taken_once_for_all_logs(lines: list[Line]) -> None:
    seen = Repeats()
    for at_s, kind, text, repeated in lines:
        assert seen.is_repeat(kind, text, at_s) is repeated


Written = st.tuples(st.integers(0, 40), st.sampled_from([RPT, SCRIPT]), st.sampled_from("ab"))


@given(st.lists(Written, max_size=60))
def test_within_the_window_a_line_passes_as_often_as_its_fullest_log_has_it(
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
    # Each that did not pass has a twin of its own in the other log.
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
    assert len(seen._lines) == 1 and len(seen._waiting) == 1


def test_the_number_of_remembered_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST", 10)
    seen = Repeats()
    for number in range(100):
        seen.is_repeat(RPT, str(number), 0)
    assert len(seen._lines) == len(seen._waiting) == 10
    assert seen.is_repeat(SCRIPT, "99", 0) and not seen.is_repeat(SCRIPT, "5", 0)
