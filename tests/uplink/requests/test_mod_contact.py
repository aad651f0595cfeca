"""The silence of a mod counts from its last contact, or from our own start if that is later."""

import pytest

from services.uplink.requests.mod_contact import ContactChange, ModContact


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
def test_the_silence_of_a_mod_counts_from_its_last_call_or_the_start(
    contact_ms: int | None, now_s: float, silent_s: float | None
) -> None:
    contact = ModContact(started_s=100.0)
    contact.read(now_s, 100_000, contact_ms)
    assert (contact.silent_s, contact.store_away) == (silent_s, False)


def test_silence_does_not_grow_while_the_store_is_away() -> None:
    contact = ModContact(started_s=0.0)
    assert contact.store_away
    contact.read(1_000.0, 100_000, 99_000)
    contact.store_away = True
    assert (contact.silent_s, contact.store_away) == (1.0, True)


def test_a_changed_setting_is_found_once() -> None:
    contact = ModContact(started_s=0.0)

    def silent_for(seconds: float, at_s: float) -> ContactChange:
        return contact.read(at_s, round(1_000 * at_s), round(1_000 * (at_s - seconds)))

    found = [
        silent_for(seconds, at_s)
        for seconds, at_s in ((2, 1_000), (60, 1_058), (61, 1_059), (62, 1_060), (0.5, 1_061), (0.2, 1_062))
    ]
    assert found == [
        ContactChange.NONE,
        ContactChange.NONE,
        ContactChange.SILENT,
        ContactChange.NONE,
        ContactChange.RESTARTED,
        ContactChange.NONE,
    ]


def test_a_store_that_was_away_makes_no_living_mod_look_gone_and_no_dead_one_alive() -> None:
    contact = ModContact(started_s=0.0)

    def read_at(seconds: float, contact_s: float) -> tuple[ContactChange, float | None]:
        return contact.read(seconds, round(1_000 * seconds), round(1_000 * contact_s)), contact.silent_s

    assert read_at(1_000, 998) == (ContactChange.NONE, 2)
    contact.store_away = True
    # The contact could not be stored when the mod called.
    assert read_at(1_300, 998) == (ContactChange.NONE, 2)
    assert read_at(1_301, 1_300.5) == (ContactChange.NONE, 0.5)
    assert read_at(1_350, 1_300.5) == (ContactChange.NONE, 49.5)
    contact.store_away = True
    assert read_at(1_400, 1_300.5) == (ContactChange.NONE, 49.5)
    assert read_at(1_411, 1_300.5) == (ContactChange.SILENT, 60.5)
    assert read_at(1_412, 1_411.5) == (ContactChange.RESTARTED, 0.5)


def test_a_store_that_lost_its_data_does_not_end_the_silence_of_a_mod() -> None:
    contact = ModContact(started_s=0.0)
    contact.read(1_000.0, 1_000_000, 998_000)
    assert contact.read(1_100.0, 1_100_000, None) is ContactChange.SILENT
    assert contact.silent_s == 102
    assert contact.read(1_101.0, 1_101_000, 1_100_500) is ContactChange.RESTARTED
    assert contact.silent_s == 0.5


@pytest.mark.parametrize("step_s", [8 * 86_400, -8 * 86_400, 70, -70])
def test_a_clock_that_is_set_does_not_change_whether_a_mod_is_silent(step_s: int) -> None:
    contact = ModContact(started_s=0.0)

    def read_at(seconds: float, store_s: float, contact_s: float) -> tuple[ContactChange, float | None]:
        return contact.read(seconds, round(1_000 * store_s), round(1_000 * contact_s)), contact.silent_s

    day_s = 20_000 * 86_400.0
    assert read_at(1_000, day_s, day_s - 2) == (ContactChange.NONE, 2)
    assert read_at(1_001, day_s + step_s + 1, day_s - 2) == (ContactChange.NONE, 3)
    assert read_at(1_002, day_s + step_s + 2, day_s + step_s + 1.5) == (ContactChange.NONE, 0.5)
    assert read_at(1_062, day_s + step_s + 62, day_s + step_s + 1.5) == (ContactChange.SILENT, 60.5)
