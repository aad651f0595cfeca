"""Instances of relay.toml and Redis are merged: which one wins, which are served, and what the notes say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from services.relay.instances.definitions import active, merge
from services.relay.instances.directory import instances
from services.relay.instances.records import (
    KeyDigest,
    Record,
    changed,
    digest_of,
    dump,
    load,
    open_keys,
    removed,
    rotated,
)
from services.relay.instances.settings_file import restart_keys
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance, ModApi, Settings, Takaro
from tests.support.ages import ages_at

NOW_MS = 1_000_000
HOUR_MS = 3_600_000


def of_file(slug: str, *keys: str, identity: str = "") -> Instance:
    return Instance(
        slug=slug,
        name=f"Server {slug}",
        identity_token=SecretStr(identity or f"identity-{slug}"),
        mod_keys=tuple(SecretStr(key) for key in keys),
    )


def stored(
    identity: str, *keys: str, created_ms: int = 1, disabled: bool = False, removed_ms: int | None = None
) -> Record:
    return Record(
        name="A stored one",
        identity_token=SecretStr(identity),
        mod_key_digests=tuple(KeyDigest(digest=digest_of(key), added_ms=1) for key in keys),
        created_ms=created_ms,
        disabled=disabled,
        removed_ms=removed_ms,
    )


FILE_KEY, KEY = "key-of-the-file-0123", "key-of-the-panel-012"


def test_instances_of_both_sources_are_in_the_table_with_their_origin() -> None:
    defined = merge([of_file("one", FILE_KEY)], {"two": stored("identity-two", KEY)}, ages_at(NOW_MS))
    assert {slug: definition.origin for slug, definition in defined.items()} == {
        "one": Origin.FILE,
        "two": Origin.REDIS,
    }
    assert [key.digest for key in defined["two"].keys] == [digest_of(KEY)]
    assert active(defined) == defined and not any(definition.note for definition in defined.values())


def test_the_file_wins_a_slug_and_the_entry_says_so() -> None:
    (definition,) = merge([of_file("one", FILE_KEY)], {"one": stored("other", KEY)}, ages_at(NOW_MS)).values()
    assert definition.origin is Origin.FILE and "relay.toml wins" in definition.note
    assert [key.digest for key in definition.keys] == [digest_of(FILE_KEY)]


def test_the_file_wins_an_identity_and_the_stored_instance_is_not_served() -> None:
    defined = merge([of_file("one", FILE_KEY)], {"two": stored("identity-one", KEY)}, ages_at(NOW_MS))
    assert list(active(defined)) == ["one"]
    assert defined["two"].shadowed and "one has the same identity token" in defined["two"].note


def test_the_file_wins_a_mod_key_and_the_stored_instance_keeps_its_others() -> None:
    defined = merge(
        [of_file("one", FILE_KEY)], {"two": stored("identity-two", FILE_KEY, KEY)}, ages_at(NOW_MS)
    )
    assert [key.digest for key in defined["two"].keys] == [digest_of(KEY)]
    assert defined["two"].active and "opens one instead" in defined["two"].note


def test_the_older_of_two_stored_instances_with_one_identity_is_served() -> None:
    records = {"a": stored("same", KEY, created_ms=5), "b": stored("same", FILE_KEY, created_ms=3)}
    assert list(active(merge([], records, ages_at(NOW_MS)))) == ["b"]


@pytest.mark.parametrize(
    ("record", "listed", "served"),
    [
        (stored("i", KEY), True, True),
        (stored("i", KEY, disabled=True), True, False),
        (stored("i", KEY, removed_ms=5), False, False),
    ],
)
def test_a_disabled_instance_is_listed_and_a_removed_one_is_not(
    record: Record, listed: bool, served: bool
) -> None:
    defined = merge([], {"two": record}, ages_at(NOW_MS))
    assert bool(defined) is listed and bool(active(defined)) is served


def test_a_server_without_a_key_has_a_note_if_it_is_not_the_only_one() -> None:
    alone = merge([of_file("one")], {"two": stored("i", KEY, disabled=True)}, ages_at(NOW_MS))
    assert alone["one"].note == ""
    both = merge([of_file("one")], {"two": stored("i", KEY)}, ages_at(NOW_MS))
    assert "each needs a mod key" in both["one"].note and both["one"].active


def test_a_stored_instance_uses_its_own_registration_token_or_that_of_the_fleet() -> None:
    own = stored("i", KEY).model_copy(update={"registration_token": SecretStr("own")})
    defined = merge([], {"a": own, "b": stored("j", FILE_KEY)}, ages_at(NOW_MS), SecretStr("fleet"))
    tokens = [definition.instance.registration_token for definition in defined.values()]
    assert [token.get_secret_value() for token in tokens if token] == ["own", "fleet"]


def test_a_changed_mod_key_does_not_reach_uplink() -> None:
    one, other = (merge([of_file("one", key)], {}, ages_at(NOW_MS)) for key in (FILE_KEY, KEY))
    assert one != other and instances(one) == instances(other)


def test_a_record_is_read_as_it_was_stored_and_shows_no_secret() -> None:
    record = stored("the-identity", KEY).model_copy(update={"registration_token": SecretStr("the-token")})
    assert load(dump(record)) == record
    assert "the-identity" not in repr(record) and "the-token" not in repr(record)
    assert KEY not in dump(record).decode()
    assert load(dump(record)[:-1] + b',"of_a_newer_version":1}') == record


def test_a_change_keeps_fields_that_it_does_not_name() -> None:
    record = stored("i", KEY).model_copy(update={"registration_token": SecretStr("own")})
    assert changed(record, {}) == record == changed(record, {"name": None, "disabled": None})
    assert changed(record, {"name": "New name"}).name == "New name"
    assert changed(record, {"disabled": True}).disabled
    assert changed(record, {"registration_token": None}).registration_token is None
    with pytest.raises(ValidationError):
        changed(record, {"name": "x"})


def test_a_replaced_key_works_until_the_overlap_ends() -> None:
    record = rotated(stored("i", KEY), KeyDigest(digest="new", added_ms=NOW_MS), HOUR_MS)
    assert [key.digest for key in open_keys(record.mod_key_digests, ages_at(NOW_MS + HOUR_MS - 1))] == [
        digest_of(KEY),
        "new",
    ]
    assert [key.digest for key in open_keys(record.mod_key_digests, ages_at(NOW_MS + HOUR_MS))] == ["new"]
    (definition,) = merge([], {"two": record}, ages_at(NOW_MS + HOUR_MS)).values()
    assert [key.digest for key in definition.keys] == ["new"]


def test_a_removed_instance_has_no_keys() -> None:
    assert removed(stored("i", KEY), NOW_MS).mod_key_digests == ()


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR_MS), st.integers(0, 2 * HOUR_MS)), max_size=6))
def test_at_most_two_keys_work_and_the_replaced_one_only_for_the_overlap(
    steps: list[tuple[int, int]],
) -> None:
    record, now_ms = stored("i", KEY), NOW_MS
    for number, (waited_ms, overlap_ms) in enumerate(steps):
        now_ms += waited_ms
        before = open_keys(record.mod_key_digests, ages_at(now_ms))
        record = rotated(record, KeyDigest(digest=str(number), added_ms=now_ms), overlap_ms)
        opens = open_keys(record.mod_key_digests, ages_at(now_ms))
        assert 1 <= len(opens) <= 2 and opens[-1] == KeyDigest(digest=str(number), added_ms=now_ms)
        if len(opens) == 2:
            assert opens[0].digest == before[-1].digest
            assert opens[0].expires_ms is not None and opens[0].expires_ms <= now_ms + overlap_ms


def test_settings_that_need_a_restart_are_named_and_tokens_and_instances_need_none() -> None:
    live = Settings(takaro=Takaro(registration_token=SecretStr("new")), instances=(of_file("one", FILE_KEY),))
    assert restart_keys(Settings(), live) == []
    assert restart_keys(Settings(), Settings(modapi=ModApi(port=1, host="::1"))) == [
        "[modapi] host",
        "[modapi] port",
    ]
