"""Bytes are split into the same lines wherever a read ends, in each encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.lines import MAX_LINE_BYTES, split, text_of


@pytest.mark.parametrize(
    ("data", "ended", "lines"),
    [
        (b"", False, []),
        (b"one\ntwo\n", False, [b"one\n", b"two\n"]),
        (b"one\r\ntwo\r\n", False, [b"one\r\n", b"two\r\n"]),
        (b"one\ntw", False, [b"one\n"]),
        (b"one\ntw", True, [b"one\n", b"tw"]),
        (b"x" * MAX_LINE_BYTES, False, []),
        (b"x" * MAX_LINE_BYTES + b"\n", False, [b"x" * MAX_LINE_BYTES, b"\n"]),
        (b"x" * MAX_LINE_BYTES + b"yz\n", False, [b"x" * MAX_LINE_BYTES, b"yz\n"]),
        # A character is not cut.
        (b"x" * (MAX_LINE_BYTES - 1) + "é\n".encode(), False, [b"x" * (MAX_LINE_BYTES - 1), "é\n".encode()]),
    ],
)
def test_a_line_of_the_log_is_written_at_once(data: bytes, ended: bool, lines: list[bytes]) -> None:
    assert [line for line, _ in split(data, ended=ended)] == lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain\r\n", "plain"),
        (b"\r\n", ""),
        (b"  \t \n", ""),
        (b"\xef\xbb\xbffirst line\n", "first line"),
        ("Żółw, тест, 日本\n".encode(), "Żółw, тест, 日本"),
        (b"caf\xe9 \x80 5\n", "café € 5"),
        ("Żółw ".encode() + b"caf\xe9" + " тест".encode(), "Żółw café тест"),
        ("€".encode()[:2] + b" cut", "â‚ cut"),
        (b"\xed\xa0\x80 half a pair", "í\xa0€ half a pair"),
        (b"\x81 is nothing in Windows-1252\n", "\ufffd is nothing in Windows-1252"),
        (b"a\x00\x00b\tc\x1b[31m\n", "a b c [31m"),
    ],
)
def test_every_line_becomes_text(line: bytes, text: str) -> None:
    assert text_of(line) == text


@given(st.binary())
def test_any_bytes_become_text_that_can_be_sent(line: bytes) -> None:
    text = text_of(line)
    assert text.encode() is not None and not any(char in text for char in "\r\n\0")


@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1) | st.just(b"\xff"), max_size=6)
)
def test_a_byte_that_is_not_utf8_does_not_change_the_text_around_it(pieces: list[str | bytes]) -> None:
    line = b" ".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
    assert text_of(line) == " ".join("ÿ" if isinstance(piece, bytes) else piece for piece in pieces)


Piece = st.one_of(
    st.just(b"\n"),
    st.just(b"\r\n"),
    st.binary(max_size=20),
    st.text(max_size=5).map(str.encode),
    st.integers(MAX_LINE_BYTES - 3, MAX_LINE_BYTES + 3).map(lambda count: b"x" * count),
)


@given(st.lists(Piece, max_size=12).map(b"".join), st.lists(st.integers(1, 5000), max_size=30))
def test_the_lines_do_not_depend_on_how_a_file_is_read(data: bytes, reads: list[int]) -> None:
    whole = [line for line, _ in split(data, ended=True)]
    assert b"".join(whole) == data

    lines, offset, known = [], 0, 0
    for more in [*reads, len(data)]:
        known = min(len(data), known + more)
        start = offset
        for line, end in split(data[start:known], ended=known == len(data)):
            lines.append(line)
            offset = start + end
    assert lines == whole
