"""The queue of lines that are not sent yet."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from services.agent.files import Head, KnownFile, LogPosition
from services.agent.outbox import MAX_BATCH, MAX_LINES, Outbox

LOG = KnownFile(LogPosition("a.RPT", None, 0, Head(0, 0)))


def test_a_batch_stays_at_the_head_until_it_is_confirmed() -> None:
    box = Outbox()
    for number in range(MAX_BATCH + 3):
        assert box.add(f"line {number}", LOG, number)
    first = box.batch()
    assert first == box.batch() == [f"line {number}" for number in range(MAX_BATCH)]
    assert box.sent(len(first)) == {LOG: MAX_BATCH - 1}
    assert box.batch() == [f"line {number}" for number in range(MAX_BATCH, MAX_BATCH + 3)]


def test_a_full_outbox_drops_new_lines() -> None:
    box = Outbox()
    assert all(box.add(str(number)) for number in range(MAX_LINES))
    assert not box.add("too much")
    assert box.batch()[0] == "0" and len(box) == MAX_LINES


@given(st.lists(st.one_of(st.integers(0, 30), st.none()), max_size=60))
def test_each_line_leaves_once_and_in_order(turns: list[int | None]) -> None:
    """A number adds that many lines. None sends a batch and confirms it."""
    box, taken, left = Outbox(max_lines=40, max_batch=7), deque[str](), 0
    for turn in turns:
        if turn is None:
            lines = box.batch()
            done = box.sent(len(lines))
            assert lines == [taken.popleft() for _ in lines]
            assert (not lines and not done) or done == {LOG: int(lines[-1])}
            continue
        for _ in range(turn):
            left += 1
            if box.add(str(left), LOG, left):
                taken.append(str(left))
    assert len(box) == len(taken) <= 40
