"""Events that are too big, too deep or too wordy."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.bodies import bounded, levels, shortened
from services.relay.protocol.limits import Limits
from services.relay.protocol.records import DeadEvent

LIMITS = Limits(event_bytes=2_000, event_levels=5, text_chars=200)


def fate(raw: dict[str, Any]) -> dict[str, Any] | DeadEvent:
    return bounded(raw, orjson.dumps(raw), LIMITS)


def test_an_event_within_the_limits_is_left_as_it_is() -> None:
    raw = {"type": "log", "msg": "x" * 100, "position": {"x": [1, [2, [3]]]}}
    assert fate(raw) is raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"type": "log", "msg": "x" * 3_000}, "event-too-large"),
        ({"type": "log", "msg": [[[[[[]]]]]]}, "too-deep"),
        ({"type": "log", "msg": {"a": {"a": {"a": {"a": {}}}}}}, "too-deep"),
    ],
)
def test_an_event_that_is_too_big_or_too_deep_is_a_dead_letter_with_its_reason(
    raw: dict[str, Any], reason: str
) -> None:
    found = fate(raw)
    assert isinstance(found, DeadEvent) and found.reason == reason and found.raw


def test_brackets_inside_texts_are_not_levels() -> None:
    raw = {"type": "log", "msg": "[{" * 50}
    assert fate(raw) is raw


def test_long_texts_are_cut_at_a_character_wherever_they_are() -> None:
    found = fate({"type": "log", "msg": "ä" * 300, "player": {"name": ["ß" * 300]}})
    assert found == {"type": "log", "msg": "ä" * 200, "player": {"name": ["ß" * 200]}}


TREES = st.recursive(
    st.none() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(TREES)
def test_levels_are_counted_as_by_a_plain_recursion(tree: Any) -> None:
    def plain(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 0
        return 1 + max(
            (plain(one) for one in (value.values() if isinstance(value, dict) else value)), default=0
        )

    assert levels(tree) == plain(tree)
    assert shortened(tree, 20) == tree
