"""Silence of a mod is what was read, counted from our own start at the earliest."""

import pytest

from services.uplink.takaro.contact import Change, Contact


@pytest.mark.parametrize(
    ("contact_ms", "now_s", "silent_s"),
    [
        (None, 1_000.0, None),
        (99_000, 1_000.0, 1.0),
        (40_000, 1_000.0, 60.0),
        (40_000, 105.0, 5.0),  # the relay was away itself until 5 s ago
        (101_000, 1_000.0, 0.0),  # Redis' clock was set back
    ],
)
def test_silence(contact_ms: int | None, now_s: float, silent_s: float | None) -> None:
    contact = Contact(started_s=100.0)
    contact.read(now_s, 100_000, contact_ms)
    assert (contact.silent_s, contact.store_away) == (silent_s, False)


def test_silence_does_not_grow_while_the_store_is_away() -> None:
    contact = Contact(started_s=0.0)
    assert contact.store_away
    contact.read(1_000.0, 100_000, 99_000)
    contact.lost_store()
    assert (contact.silent_s, contact.store_away) == (1.0, True)


def test_what_changes_is_found_once() -> None:
    contact = Contact(started_s=0.0)

    def silent_for(seconds: int) -> Change:
        return contact.read(1_000.0, 1_000_000, 1_000_000 - 1_000 * seconds)

    found = [silent_for(seconds) for seconds in (2, 60, 61, 62, 3, 2)]
    assert found == [Change.NONE, Change.NONE, Change.GONE, Change.NONE, Change.RESTARTED, Change.NONE]
