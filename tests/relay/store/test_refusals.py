"""What each refusal of Redis means: whether the call is sent again, and the message."""

import pytest

from services.relay.protocol.errors import NotCarriedOut, StoreRefused
from services.relay.store.refusals import (
    ConnectionLost,
    RedisRefusal,
    Retry,
    Unreachable,
    store_error,
    verdict_on,
)


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", Retry.WITH_SCRIPT),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Retry.LATER),
        ("NOREPLICAS Not enough good replicas to write.", Retry.LATER),
        ("BUSY Redis is busy running a script.", Retry.LATER),
        ("CLUSTERDOWN The cluster is down", Retry.RECONNECT),
        ("LOADING Redis is loading the dataset in memory", Retry.RECONNECT),
        ("READONLY You can't write against a read only replica.", Retry.RECONNECT),
        ("MASTERDOWN Link with MASTER is down", Retry.RECONNECT),
        ("OOM command not allowed when used memory > 'maxmemory'.", Retry.NEVER),
        ("MISCONF Errors writing to the AOF file: No space left on device", Retry.NEVER),
        ("NOAUTH Authentication required.", Retry.NEVER),
        ("NOPERM this user has no permissions", Retry.NEVER),
        ("WRONGTYPE Operation against a key", Retry.NEVER),
        ("ERR unknown command", Retry.NEVER),
    ],
)
def test_only_a_call_that_was_certainly_not_carried_out_is_sent_again(text: str, retry: Retry) -> None:
    assert verdict_on(RedisRefusal(text)).retry is retry


def test_a_redirection_names_the_slot_and_the_node() -> None:
    moved = verdict_on(RedisRefusal("MOVED 3999 127.0.0.1:6381"))
    assert (moved.retry, moved.slot, moved.node) == (Retry.MOVED, 3999, "127.0.0.1:6381")
    assert verdict_on(RedisRefusal("ASK 1 ::1:7")).node == "::1:7"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RedisRefusal("OOM command not allowed"), "Redis is full (maxmemory)"),
        (RedisRefusal("MISCONF Errors writing to the AOF file"), "cannot write to its disk"),
        (Unreachable("127.0.0.1:1: refused"), "Redis: 127.0.0.1:1: refused"),
        (Unreachable("x", RedisRefusal("LOADING Redis is loading")), "still reading its data"),
        (ConnectionLost("the server closed the connection"), "Redis: the server closed the connection"),
        (RedisRefusal("ERR something\nelse"), "Redis: ERR something"),
    ],
)
def test_an_error_for_a_person_is_one_line(error: Exception, words: str) -> None:
    assert words in str(store_error(error)) and "\n" not in str(store_error(error))


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        *(
            (RedisRefusal(f"{code} for some reason"), True)
            for code in ("OOM", "MISCONF", "LOADING", "READONLY")
        ),
        *(
            (RedisRefusal(f"{code} for some reason"), True)
            for code in ("NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")
        ),
        (Unreachable("127.0.0.1:1: refused"), True),
        (Unreachable("x", RedisRefusal("LOADING Redis is loading")), True),
        (Unreachable("x", RedisRefusal("ERR DB index is out of range")), True),
        (ConnectionLost("the server closed the connection"), False),
        (RedisRefusal("WRONGTYPE Operation against a key"), False),  # a script has perhaps written before
        (RedisRefusal("ERR something"), False),
    ],
    ids=lambda value: f"{value!s:.12}",
)
def test_a_call_that_was_certainly_not_carried_out_says_so(error: Exception, certain: bool) -> None:
    assert isinstance(store_error(error), NotCarriedOut) is certain


@pytest.mark.parametrize("code", ["NOAUTH", "WRONGPASS", "NOPERM"])
def test_a_setting_that_an_operator_must_mend_is_named_in_the_refusal(code: str) -> None:
    assert isinstance(store_error(RedisRefusal(f"{code} for some reason")), StoreRefused)
