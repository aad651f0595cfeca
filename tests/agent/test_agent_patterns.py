"""Which commas separate the regular expressions of a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.settings import split_patterns


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("", []),
        (" , ,", []),
        ("a, b ,c", ["a", "b", "c"]),
        (r"\d{1,3}\.\d{1,3},x", [r"\d{1,3}\.\d{1,3}", "x"]),
        ("x{,3},y{2,}", ["x{,3}", "y{2,}"]),
        ("[,;],x", ["[,;]", "x"]),
        ("[],],[^],],[(,],x", ["[],]", "[^],]", "[(,]", "x"]),
        (r"[\],],x", [r"[\],]", "x"]),
        ("(a,b),((c,d),e),x", ["(a,b)", "((c,d),e)", "x"]),
        (r"a\,b,x", [r"a\,b", "x"]),
        (r"\(,\[,\{,x", [r"\(", r"\[", r"\{", "x"]),
        ("a{,b", ["a{", "b"]),  # to Python an open brace is a letter
        ("),x", [")", "x"]),
        ("x,(a,b", ["x", "(a,b"]),
        ("x,[a,b", ["x", "[a,b"]),
        ("x\\", ["x\\"]),
    ],
)
def test_a_comma_separates_unless_it_belongs_to_an_expression(text: str, patterns: list[str]) -> None:
    assert split_patterns(text) == patterns


PIECES = st.sampled_from(
    [
        "a",
        ".",
        r"\d{1,3}",
        "{2,}",
        "[,]",
        "[^],]",
        r"[\],(]",
        "[x{,]",
        "(a,b)",
        "(?:a|(b,))",
        r"\,",
        r"\\",
        r"\(",
        r"\[",
    ]
)
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join)


@given(st.lists(PATTERNS, max_size=5))
def test_a_list_of_expressions_is_read_as_it_was_written(patterns: list[str]) -> None:
    assert split_patterns(" , ".join(patterns)) == patterns


@given(st.text("ab,\\[](){} ", max_size=40))
def test_no_text_loses_more_than_commas_and_blanks(text: str) -> None:
    assert "".join(split_patterns(text)).replace(" ", "").replace(",", "") == text.replace(" ", "").replace(
        ",", ""
    )
