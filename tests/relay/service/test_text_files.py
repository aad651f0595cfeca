"""Files that people write: their encodings, and folders that cannot be read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.errors import ConfigError
from services.relay.service.text_files import decoded, is_there, unquoted


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"])))
def test_utf_8_is_read_as_it_is(text: str) -> None:
    assert decoded(text.encode()) == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_zeros(encoding: str, text: str) -> None:
    assert decoded(text.encode(encoding)) == text


def test_a_file_that_is_not_text_is_refused_with_how_to_save_it() -> None:
    with pytest.raises(ValueError, match="it is not UTF-8 text: save it as UTF-8"):
        decoded(b"caf\xe9")
    with pytest.raises(ValueError, match="it is not UTF-16 text: save it as UTF-8"):
        decoded(b"\xff\xfea")


@pytest.mark.parametrize(
    ("text", "plain"),
    [('"a"', "a"), ("'a'", "a"), ("\"a'", "\"a'"), ('"', '"'), ('""', ""), ("a", "a"), ('"a" "b"', 'a" "b')],
)
def test_only_a_matching_pair_of_quotation_marks_is_taken_off(text: str, plain: str) -> None:
    assert unquoted(text) == plain


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert not is_there(tmp_path / "nothing") and is_there(tmp_path)
    assert not is_there(tmp_path / "nothing" / "below")
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match=r"relay\.toml: cannot be looked at: Permission denied"):
        is_there(tmp_path / "relay.toml")
