"""Calls with an Idempotency-Key are remembered, up to a number and a time, and without their mod keys."""

import pytest
from pydantic import SecretStr

from services.relay.instances.once import KEPT_CALLS, KEPT_S, Once, mod_key, remembered, repeated
from services.relay.instances.records import KeyDigest, Record, digest_of, dump, load
from services.relay.protocol.errors import InstanceConflict
from tests.support.ages import ages_at

NOW_MS = 1_700_000_000_000
ONCE = Once("word", "what is asked", "secret")


def record(*keys: str) -> Record:
    digests = tuple(KeyDigest(digest=digest_of(key), added_ms=NOW_MS) for key in keys)
    return Record(name="One", identity_token=SecretStr("i"), mod_key_digests=digests, created_ms=NOW_MS)


def done(once: Once = ONCE) -> Record:
    return remembered(record(mod_key(once, "one", "salt")), once, "one", "salt", NOW_MS, ages_at(NOW_MS))


def test_a_call_is_recognised_for_a_day_also_from_redis() -> None:
    kept = load(dump(done()))
    assert repeated(kept, ONCE, ages_at(NOW_MS + KEPT_S * 1000 - 1)) == kept.done[0]
    assert repeated(kept, ONCE, ages_at(NOW_MS + KEPT_S * 1000)) is None
    assert repeated(kept, ONCE._replace(key="another"), ages_at(NOW_MS)) is None
    assert repeated(kept, None, ages_at(NOW_MS)) is None and repeated(None, ONCE, ages_at(NOW_MS)) is None


def test_the_same_idempotency_key_for_another_call_is_refused() -> None:
    with pytest.raises(InstanceConflict, match="for another call"):
        repeated(done(), ONCE._replace(asked="something else"), ages_at(NOW_MS))


def test_a_repeat_is_refused_if_its_mod_key_works_no_more() -> None:
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        repeated(done().model_copy(update={"mod_key_digests": ()}), ONCE, ages_at(NOW_MS))


def test_the_mod_key_depends_on_secret_server_salt_and_idempotency_key() -> None:
    keys = {
        mod_key(ONCE, "one", "salt"),
        mod_key(ONCE, "two", "salt"),
        mod_key(ONCE, "one", "other"),
        mod_key(ONCE._replace(key="x"), "one", "salt"),
        mod_key(ONCE._replace(secret="x"), "one", "salt"),
    }
    assert len(keys) == 5 and all(len(key) == 43 for key in keys)


def test_only_the_last_calls_are_kept_for_at_most_a_day() -> None:
    kept = record()
    for number in range(KEPT_CALLS + 5):
        kept = remembered(
            kept, ONCE._replace(key=str(number)), "one", "salt", NOW_MS + number, ages_at(NOW_MS + number)
        )
    assert len(kept.done) == KEPT_CALLS and kept.done[-1].at_ms == NOW_MS + KEPT_CALLS + 4
    later_ms = NOW_MS + 2 * KEPT_S * 1000
    assert len(remembered(kept, ONCE, "one", "salt", later_ms, ages_at(later_ms)).done) == 1
