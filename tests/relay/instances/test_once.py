"""A repeat of a call makes the same secret, and is recognised by it in the record of the instance."""

import pytest
from pydantic import SecretStr

from services.relay.instances.once import Once, is_repeat
from services.relay.instances.records import KEPT_KEYS, KeyDigest, Record, digest_of, dump, load, rotated
from services.relay.protocol.errors import InstanceConflict
from tests.support.ages import ages_at

NOW_MS = 1_700_000_000_000
ONCE = Once(b"seed")
DIGEST = digest_of(ONCE.secret("mod key", "one"))


def record(*digests: str) -> Record:
    """An instance for which these mod keys were made, one after the other."""
    made = Record(name="One", identity_token=SecretStr("i"), created_ms=NOW_MS)
    for digest in digests:
        made = rotated(made, KeyDigest(digest=digest, added_ms=NOW_MS), overlap_ms=0)
    return made


def repeats(of: Record | None, once: Once | None = ONCE, digest: str = DIGEST) -> bool:
    return is_repeat(once, digest, of, ages_at(NOW_MS))


def test_a_call_is_recognised_also_from_redis() -> None:
    kept = load(dump(record(DIGEST)))
    assert repeats(kept) and not repeats(kept, digest=digest_of("another"))
    assert not repeats(record()) and not repeats(None) and not repeats(None, once=None)


def test_a_call_is_recognised_also_after_an_older_modapi_has_changed_the_record() -> None:
    assert repeats(record(DIGEST).model_copy(update={"made": ()}), ONCE._replace(was_done=True))


def test_a_repeat_is_refused_if_its_mod_key_works_no_more() -> None:
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        repeats(record(DIGEST, "newer"))


def test_a_repeat_is_refused_if_nothing_is_left_of_the_call() -> None:
    for left in (None, record("another")):
        with pytest.raises(InstanceConflict, match="is there no more"):
            repeats(left, ONCE._replace(was_done=True))
    assert repeats(record(DIGEST), ONCE._replace(was_done=True))


def test_a_secret_depends_on_seed_kind_and_name() -> None:
    made = {
        once.secret(kind, name)
        for once, kind, name in (
            (ONCE, "mod key", "one"),
            (ONCE, "mod key", "two"),
            (ONCE, "admin token", "one"),
            (Once(b"another seed"), "mod key", "one"),
        )
    }
    assert len(made) == 4 and all(len(secret) == 43 for secret in made)


def test_only_the_last_mod_keys_are_remembered() -> None:
    made = record(*map(str, range(KEPT_KEYS + 5)))
    assert len(made.made) == KEPT_KEYS and made.made[-1] == str(KEPT_KEYS + 4)
