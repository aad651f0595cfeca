"""Which settings of Redis are good enough, and the complaints about others."""

import pytest

from services.relay.store.durability import StoreFacts, complaints

GOOD = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}


def test_the_recommended_settings_raise_no_complaint() -> None:
    assert complaints(GOOD) == []


def test_settings_that_a_managed_redis_does_not_show_are_not_judged() -> None:
    assert complaints({}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
    ],
)
def test_each_weaker_setting_is_named_with_its_cost_and_its_fix(name: str, value: str) -> None:
    [line] = complaints(GOOD | {name: value})
    assert f"{name} '{value}'" in line and f"{name} {GOOD[name]}" in line


def test_no_advice_is_to_overwrite_the_file_with_the_data() -> None:
    [line] = complaints(GOOD | {"appendonly": "no"})
    assert "CONFIG SET appendonly" not in line and "configuration file" in line


def test_all_problems_are_reported_at_once() -> None:
    assert (
        len(complaints({"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"}))
        == 3
    )


def test_a_store_that_was_not_reached_promises_nothing() -> None:
    assert StoreFacts("standalone").described() == "standalone, not reached yet"
