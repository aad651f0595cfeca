"""Single values as mods write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect import fields

BIS = "Ab+/" + "k" * 39


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (BIS + "=", "dayz:Ab-_" + "k" * 39),
        (BIS, "dayz:Ab-_" + "k" * 39),
        (f"dayz:{BIS}=", "dayz:Ab-_" + "k" * 39),
        ("discord:123", "discord:123"),
        ("steam:76561198000000001", None),
        ("Steam:7", None),
        ("", None),
        ("dayz:", None),
        (":x", None),
        ("dayz:Unknown", None),
        ("a:b:c", None),
        ("with space:x", None),
        ("dayz:a\n", None),
        ("76561198000000001", None),
        ("null", None),
        (None, None),
        (7, None),
        ({}, None),
    ],
)
def test_a_platform_id_fits_takaros_pattern_or_is_not_set(value: Any, read: str | None) -> None:
    assert fields.platform_id(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [("76561198000000001", True), (76561198000000001, True), ("7656119800000000", False)]
    + [("7656119800000000x", False), ("\u0661" * 17, False), ("", False), (None, False), (True, False)],
)
def test_a_steam_id_has_17_digits(value: Any, read: bool) -> None:
    assert (fields.steam_id(value) is not None) is read


@pytest.mark.parametrize(
    ("value", "read"),
    [("10.0.0.1", "10.0.0.1"), ("10.0.0.1:2304", "10.0.0.1"), ("2001:db8::1", "2001:db8::1")]
    + [("", None), (None, None), ("x" * 90, None)],
)
def test_an_address_is_without_its_port(value: Any, read: str | None) -> None:
    assert fields.address(value) == read


NOTHING_TO_SEE = [
    *(
        "\u200b",
        "\u3164",
        "\u2800",
        "\ufeff",
        "\u00ad",
        "\u00a0",
        "\u115f",
        "\u1160",
        "\uffa0",
        "\u034f",
        "\u061c",
    ),
    *(
        "\u17b4",
        "\u180b",
        "\u180e",
        "\u2060",
        "\u2064",
        "\u2065",
        "\u206f",
        "\u3000",
        "\ufe0f",
        "\ufff0",
        "\u0301",
    ),
    *(
        "\U0001d159",
        "\U0001d173",
        "\U00013441",
        "\U000e0001",
        "\U000e0041",
        "\U000e0080",
        "\U000e01ef",
        "\t",
        "\0",
    ),
]
"""Spaces, joiners, fillers, variation selectors, tags, marks without a letter, and other such characters."""


@given(st.text(st.sampled_from(NOTHING_TO_SEE), max_size=120))
def test_an_invisible_name_is_no_name(name: str) -> None:
    assert fields.name(name) == ""


@given(
    st.text(st.sampled_from(NOTHING_TO_SEE), max_size=8),
    st.text(st.sampled_from(NOTHING_TO_SEE), max_size=8),
    st.sampled_from(
        [
            "a",
            "7",
            "_",
            "\u017b",
            "\u65e5",
            "\u3131",
            "\u2801",
            "\U0001f480",
            "\U0001fae8",
            "\ue000",
            "\ufffd",
        ]
    ),
)
def test_a_name_with_one_visible_character_is_a_name(before: str, after: str, char: str) -> None:
    assert char in fields.name(before + char + after)


ANY: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())
)


@given(ANY)
def test_no_value_breaks_a_reader_and_texts_are_safe_to_show(value: Any) -> None:
    for read in (fields.line, fields.word, fields.name, fields.game_id):
        text = read(value)
        assert not any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in text)
        text.encode()
    fields.lines(value, 50).encode()
    for reader in (fields.number, fields.flag, fields.position, fields.address):
        reader(value)
