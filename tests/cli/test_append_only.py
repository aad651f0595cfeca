"""The end of the last whole record: wherever a file was cut, and whatever zeros are behind it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.append_only import Rest, Scan, scan


def record(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def script(*records: bytes) -> bytes:
    return record(b"MULTI") + b"".join(records) + record(b"EXEC")


SET = record(b"SET", b"key", b"value")
PARTS = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
RECORDS = st.lists(PARTS, max_size=3).map(lambda several: [record(b"set", *parts) for parts in several])
UNITS = st.lists(
    st.one_of(PARTS.map(lambda parts: record(b"set", *parts)), RECORDS.map(lambda r: script(*r)))
)


@given(UNITS, st.data(), st.integers(0, 300))
def test_a_file_cut_anywhere_ends_at_its_last_whole_record(
    units: list[bytes], draws: st.DataObject, zeros: int
) -> None:
    whole = b"".join(units)
    cut = draws.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, units[:count])) for count in range(len(units) + 1)]
    found = scan(whole[:cut] + bytes(zeros))
    data = whole[:cut] + bytes(zeros)  # zeros may happen to stand where some were cut off
    end = max(end for end in ends if data[:end] == whole[:end])
    assert found.end == end
    assert found.rest is (Rest.NOTHING if end == cut + zeros else Rest.TORN)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (SET + b"\0" * 10 + SET, len(SET)),
        (SET + b"garbage" + SET, len(SET)),
        (SET + b"garbage", len(SET)),
        (SET[:-4] + b"\0" * 4 + SET, 0),
        (SET + SET.replace(b"$5", b"$8") + SET * 9, len(SET)),
        (SET + SET.replace(b"$5", b"$999") + SET * 9, len(SET)),  # as if the rest were its value
        (SET + SET.replace(b"$5", b"$900") + SET * 9 + b"\0" * 5_000, len(SET)),
        (SET + SET.replace(b"*3", b"*9") + SET * 9, len(SET)),
        (record(b"MULTI") + SET + b"\0" * 9 + SET, 0),
    ],
)
def test_a_broken_record_with_more_behind_it_is_damage_and_no_torn_end(data: bytes, end: int) -> None:
    found = scan(data)
    assert (found.end, found.rest) == (end, Rest.DAMAGED)


def test_a_value_may_hold_whatever_looks_like_a_record() -> None:
    data = record(b"SET", b"key", SET * 3)
    assert scan(data) == Scan(len(data), Rest.NOTHING, len(data))


def test_timestamps_in_an_append_only_file_are_no_damage() -> None:
    data = b"#TS:1700000000\r\n" + SET
    assert scan(data).rest is Rest.NOTHING
    assert scan(data + b"#TS:17\0\0\0") == Scan(len(data), Rest.TORN, len(data) + 6)
