"""Calls with an Idempotency-Key are remembered, up to a number and a time, and without their mod keys."""

import pytest
from pydantic import SecretStr

from services.relay.instances.once import KEPT_CALLS, KEPT_S, IssuedKey, Once, made_secret
from services.relay.instances.records import KeyDigest, Record, digest_of, dump, load
from services.relay.protocol.errors import InstanceConflict
from tests.support.ages import ages_at

NOW_MS = 1_700_000_000_000
ONCE = Once("word", "what is asked", "secret")


def record(*keys: str) -> Record:
    digests = tuple(KeyDigest(digest=digest_of(key), added_ms=NOW_MS) for key in keys)
    return Record(name="One", identity_token=SecretStr("i"), mod_key_digests=digests, created_ms=NOW_MS)


def issued(at_ms: int = NOW_MS, once: Once | None = ONCE, slug: str = "one") -> IssuedKey:
    return IssuedKey(slug, once, ages_at(at_ms))


def done() -> tuple[Record, str]:
    """The record after the first call, and the key that the call made."""
    first = issued()
    return first.remembered(record(first.mod_key), NOW_MS), first.mod_key


def test_a_call_is_recognised_for_a_day_also_from_redis() -> None:
    made, mod_key = done()
    kept, again = load(dump(made)), issued(NOW_MS + KEPT_S * 1000 - 1)
    assert again.is_repeat(kept) and again.mod_key == mod_key
    assert not issued(NOW_MS + KEPT_S * 1000).is_repeat(kept)
    assert not issued(once=ONCE._replace(key="another")).is_repeat(kept)
    assert not issued(once=None).is_repeat(kept) and not issued().is_repeat(None)


def test_the_same_idempotency_key_for_another_call_is_refused() -> None:
    with pytest.raises(InstanceConflict, match="for another call"):
        issued(once=ONCE._replace(asked="something else")).is_repeat(done()[0])


def test_a_repeat_is_refused_if_its_mod_key_works_no_more() -> None:
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        issued().is_repeat(done()[0].model_copy(update={"mod_key_digests": ()}))


def test_the_mod_key_depends_on_secret_server_salt_and_idempotency_key() -> None:
    keys = {
        made_secret(once, "mod key", slug, salt)
        for once, slug, salt in (
            (ONCE, "one", "salt"),
            (ONCE, "two", "salt"),
            (ONCE, "one", "other"),
            (ONCE._replace(key="x"), "one", "salt"),
            (ONCE._replace(secret="x"), "one", "salt"),
        )
    }
    assert len(keys) == 5 and all(len(key) == 43 for key in keys)


def test_only_the_last_calls_are_kept_for_at_most_a_day() -> None:
    kept = record()
    for number in range(KEPT_CALLS + 5):
        call = issued(NOW_MS + number, ONCE._replace(key=str(number)))
        kept = call.remembered(kept, NOW_MS + number)
    assert len(kept.done) == KEPT_CALLS and kept.done[-1].at_ms == NOW_MS + KEPT_CALLS + 4
    later_ms = NOW_MS + 2 * KEPT_S * 1000
    assert len(issued(later_ms).remembered(kept, later_ms).done) == 1
