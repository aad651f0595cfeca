"""Bodies as mods post them: good, broken, hostile."""

import json
import time
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.bodies import UnreadableBody, read_batch, read_object
from services.relay.protocol.limits import DEFAULT_LIMITS
from services.relay.protocol.records import DeadEvent

LOG = {"type": "log", "msg": "a"}
CHAT = {"type": "chat-message", "player": {"gameId": "1", "name": "Ann"}, "msg": "hi", "channel": "global"}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ['"},{"', '\\"', '},{"a":', "]}", '","msg":"', "C:\\dayz\\", "[1,2]", "\n"]
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["log", "chat-message", "player-death"]), "msg": TEXTS},
    optional={
        "player": st.fixed_dictionaries({"gameId": st.text("0123456789", min_size=1), "name": TEXTS}),
        "position": st.fixed_dictionaries({axis: st.floats(-1e6, 1e6) for axis in "xyz"}),
        "weapon": TEXTS,
    },
)


class Read(NamedTuple):
    """What was read of a batch, without what was put aside, which is `dead`."""

    events: list[Any]
    dead: list[DeadEvent]
    repaired: bool


def read(body: bytes) -> Read:
    batch = read_batch(body)
    dead = [event for event in batch.events if isinstance(event, DeadEvent)]
    return Read([event for event in batch.events if not isinstance(event, DeadEvent)], dead, batch.repaired)


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'{"events":[{"type":"log","msg":"a"}]}', [LOG]),
        (b'[{"type":"log","msg":"a"}]', [LOG]),
        (b'{"type":"log","msg":"a"}', [LOG]),
        (b'{"events":{"type":"log","msg":"a"}}', [LOG]),
        (b'{"events":[]}', []),
        (b'{"events":null}', []),
        (b'{"events":{}}', []),
        (b'{"events":""}', []),
        (b"{}", []),
        (b"null", []),
    ],
)
def test_a_good_body_is_read_in_each_of_its_forms(body: bytes, events: list[Any]) -> None:
    assert read_batch(body) == (events, False)


@pytest.mark.parametrize(
    ("written", "msg"),
    [
        pytest.param(b'\xef\xbb\xbf{"events":[{"msg":"a"}]}', "a", id="byte order mark"),
        pytest.param(b'{"events":[{"msg":"a"}]}\0', "a", id="trailing NUL"),
        pytest.param(b'{"events":[{"msg":"a"}]}\0\0\r\n', "a", id="trailing NULs and a line break"),
        pytest.param(b'{"events":[{"msg":"\xe9t\xe9"}]}', "\ufffdt\ufffd", id="not UTF-8"),
        pytest.param(b'{"events":[{"msg":"a\nb\tc\x01d"}]}', "a\nb\tc\x01d", id="raw control characters"),
        pytest.param(rb'{"events":[{"msg":"C:\dayz\profiles"}]}', r"C:\dayz\profiles", id="lone backslash"),
        pytest.param(rb'{"events":[{"msg":"C:\dayz\"}]}', "C:\\dayz\\", id="lone backslash at the end"),
        pytest.param(rb'{"events":[{"msg":"a\ud800b"}]}', r"a\ud800b", id="half a surrogate pair"),
        pytest.param(rb'{"events":[{"msg":"\q\ud83d\ude00"}]}', "\\q\U0001f600", id="whole surrogate pair"),
        pytest.param(b'{"events":[{"msg":"he said "hi" to me"}]}', 'he said "hi" to me', id="open quotes"),
        pytest.param(b'{"events":[{"msg":""hi", he said","x":1}]}', '"hi", he said', id="quotes and a comma"),
        pytest.param(b'{"events":[{"msg":"so }",} "he"","x":1}]}', 'so }",} "he"', id="quotes and brackets"),
        pytest.param(b'{"events":[{"msg":"a","x":nan}]}', "a", id="nan"),
        pytest.param(b'{"events":[{"msg":"a","x":-inf,"y":-nan(ind)}]}', "a", id="inf"),
        pytest.param(b'{"events":[{"msg":"a","x":1.#QNAN,"y":-1.#IND}]}', "a", id="1.#QNAN"),
        pytest.param(b'{"events":[{"msg":"a","x":+5,"y":.5,"z":007}]}', "a", id="odd numbers"),
        pytest.param(b'{"events":[{"msg":"a","x":True,"y":None,"z":}]}', "a", id="words and a missing value"),
        pytest.param(b'{"events":[{"msg":"a",},],}', "a", id="trailing commas"),
        pytest.param(b'{"events":[,{"msg":"a"}]}', "a", id="leading comma"),
        pytest.param(b'{"events":[{"msg":"a"', "a", id="truncated after a value"),
        pytest.param(b'{"events":[{"msg":"a"}', "a", id="truncated after an event"),
        pytest.param(b'{"events":[{"msg":"a"}]}]}', "a", id="brackets left over"),
        pytest.param(
            b'{"events":[{"msg":"a","x":99999999999999999999999}]}', "a", id="integer beyond 64 bits"
        ),
    ],
)
def test_a_broken_event_is_repaired(written: bytes, msg: str) -> None:
    batch = read(written)
    assert [event["msg"] for event in batch.events] == [msg]
    assert not batch.dead


def test_odd_numbers_keep_their_value_and_not_numbers_are_not_set() -> None:
    (event,) = read(b'{"x":+5,"y":.5,"z":007,"a":1.#INF,"b":1e999,"id":76561198000000001,}').events
    assert event == {"x": 5, "y": 0.5, "z": 7, "a": None, "b": None, "id": 76561198000000001}


@pytest.mark.parametrize(
    "broken",
    [
        b'{"type":"log","msg":"never closed',
        b'{"type":"log","ms',
        b'{"type":"log","msg":{"a":[1}',
        b"{{{{",
        b"@@@",
        b"null",
        b"7",
        b'"text"',
        b"[[1]]",
    ],
)
def test_an_unreadable_event_does_not_affect_others(broken: bytes) -> None:
    body = b'{"events":[' + b",".join([orjson.dumps(LOG), broken, orjson.dumps(CHAT)]) + b"]}"
    batch = read(body)
    assert batch.events == [LOG, CHAT]
    assert [event.reason in ("unreadable-json", "not-an-object") for event in batch.dead] == [True]


def test_a_word_outside_quotation_marks_is_named() -> None:
    (dead,) = read_batch(b"garbage").events
    assert isinstance(dead, DeadEvent) and dead.detail == "'garbage' is no JSON value"


def test_the_event_cut_off_at_the_end_is_put_aside() -> None:
    batch = read(b'{"events":[{"type":"log","msg":"a"},{"type":"log","ms')
    assert batch.events == [LOG]
    assert batch.dead[0].raw == b'{"type":"log","ms'


def test_a_missing_comma_between_events_is_forgiven() -> None:
    assert read(b'{"events":[{"type":"log","msg":"a"}{"type":"log","msg":"a"}]}').events == [LOG, LOG]


def test_a_body_that_is_nothing_at_all_is_one_dead_event_cut_short() -> None:
    batch = read(b"\x80" * 5_000)
    assert batch.events == []
    assert [event.reason for event in batch.dead] == ["unreadable-json"]
    assert len(batch.dead[0].raw) == 2_000


def test_events_beyond_the_limit_are_put_aside_as_one() -> None:
    most = DEFAULT_LIMITS.batch_events
    batch = read(orjson.dumps([LOG] * (most + 3)))
    assert len(batch.events) == most
    assert [event.reason for event in batch.dead] == ["too-many-events"]


@pytest.mark.parametrize(
    ("written", "event"),
    [
        (b'{"a":1,"b":2,"a":3}', {"a": [1, 3], "b": 2}),
        (b'{"a":1,"a":1}', {"a": 1}),
        (b'{"a":{"x":1},"a":{"x":2},"a":null}', {"a": [{"x": 1}, {"x": 2}, None]}),
        (b'{"p":{"id":"1","name":"x:","id":"2"}}', {"p": {"id": ["1", "2"], "name": "x:"}}),
        # An escaped colon makes up for the one that is lost with a key.
        (rb'{"a":1,"a":2,"b":"\u003a"}', {"a": [1, 2], "b": ":"}),
        (rb'{"a":1,"a":2,"b":"\u003A"}', {"a": [1, 2], "b": ":"}),
        (b'{"a":1,"a":2,"b":"raw\ttab"}', {"a": [1, 2], "b": "raw\ttab"}),
        (b'{"a":1,"a":2,"b":"open "quotes""}', {"a": [1, 2], "b": 'open "quotes"'}),
    ],
)
def test_a_key_that_is_repeated_has_all_its_values(written: bytes, event: dict[str, Any]) -> None:
    assert read(b'{"events":[' + written + b"]}").events == [event]
    assert read_object(written) == event


def test_a_repeated_key_is_found_beside_an_event_that_is_nested_too_deep() -> None:
    deep = b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"
    assert read(b'{"events":[' + deep + b',{"a":1,"a":2}]}').events == [{"a": [1, 2]}]


SMALL = st.integers(0, 2) | st.sampled_from([":", '"', "\u00e9:", "\\", None, {"a": ":"}, [":"], {}])
PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b:", '"c', "d"]), SMALL), max_size=6)


@given(st.lists(PAIRS, max_size=3), st.booleans())
def test_no_value_of_a_repeated_key_is_lost(events: list[list[tuple[str, Any]]], ascii_only: bool) -> None:
    texts = [
        ",".join(f"{json.dumps(key)}:{json.dumps(one, ensure_ascii=ascii_only)}" for key, one in pairs)
        for pairs in events
    ]
    batch = read(f'{{"events":[{",".join(f"{{{text}}}" for text in texts)}]}}'.encode())
    for pairs, event in zip(events, batch.events, strict=True):
        for key in event:
            values = [one for name, one in pairs if name == key]
            assert event[key] == (values if any(one != values[0] for one in values) else values[0])


def test_an_event_too_deep_to_be_passed_on_is_put_aside() -> None:
    batch = read(b'{"events":[{"a":' + b"[" * 500 + b"]" * 500 + b'},{"type":"log","msg":"a"}]}')
    assert batch.events == [LOG]
    assert [event.reason for event in batch.dead] == ["unreadable-json"]


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"events":[{"type":"log","msg":"' + b'" ' * 500_000,
        b'{"events":[' + b"[{}," * 250_000,
        b'{"events":[{"a":"' + b'"' + b" " * 1_000_000 + b"x",
        b'{"events":[{"a":"' + b'",' * 500_000,
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"[x" + b',{"a":' * 170_000,
        b'{"a":"' + b"\\q" * 500_000,
        b'{"events":[' + b'{"a":"b" "c"},' * 70_000,
        b'{"events":[{"a":"' + b'"}' * 130_000 + b"x",
    ],
)
def test_a_hostile_body_of_a_mebibyte_is_read_within_two_seconds(hostile: bytes) -> None:
    started_s = time.process_time()
    read_batch(hostile)
    assert time.process_time() - started_s < 2.0


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=4))
def test_any_json_is_read_back_equal(events: list[dict[str, Any]]) -> None:
    assert read_batch(orjson.dumps({"events": events})) == (events, False)


@given(st.lists(EVENTS, max_size=3), st.lists(EVENTS, max_size=3), EVENTS, st.data())
def test_corrupting_one_event_keeps_its_neighbours(
    before: list[dict[str, Any]], after: list[dict[str, Any]], event: dict[str, Any], data: st.DataObject
) -> None:
    good = orjson.dumps(event)
    at = data.draw(st.integers(0, len(good)))
    until = data.draw(st.integers(at, len(good)))
    broken = (
        good[:at]
        + data.draw(st.binary(max_size=8) | st.sampled_from([b'"', b"{", b"}", b"[", b"]"]))
        + good[until:]
    )
    texts = [*map(orjson.dumps, before), broken, *map(orjson.dumps, after)]
    batch = read(b'{"events":[' + b",".join(texts) + b"]}")
    assert batch.events[: len(before)] == before
    assert not after or batch.events[-len(after) :] == after


@given(st.binary() | st.text('{}[]",:\\ \nnaif01.eE-', max_size=60).map(str.encode))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    batch = read(body)
    assert all(type(event) is dict and orjson.dumps(event) for event in batch.events)
    assert all(event.reason and len(event.raw) <= 2_000 for event in batch.dead)
    try:
        orjson.dumps(read_object(body))
    except UnreadableBody:
        pass


def test_a_result_with_line_breaks_in_its_error_is_read() -> None:
    body = b'{"operationId":"7","ok":false,"error":"JSON error:\nline 1\r\n\tat "gameId""}'
    assert read_object(body) == {
        "operationId": "7",
        "ok": False,
        "error": 'JSON error:\nline 1\r\n\tat "gameId"',
    }


def test_a_result_of_megabytes_with_faulty_item_names_is_read() -> None:
    item = b'{"name":"It\nem C:\\dayz","code":"A"}'
    body = b'{"operationId":"7","ok":true,"result":[' + b",".join([item] * 60_000) + b'],"x":NaN}'
    assert len(body) > 2_000_000
    result = read_object(body)["result"]
    assert len(result) == 60_000
    assert result[-1] == {"name": "It\nem C:\\dayz", "code": "A"}


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"a"', b"null", b'{"a":"b', b"\0", b"{]", b"{} {}"])
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_object(body)
