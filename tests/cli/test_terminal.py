"""What commands write, at a terminal and into a pipe."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from services.cli.tables import Rows, console_for, cut, label, show, waiting_for
from services.cli.terminal import many, runnable, safe
from services.relay.service.durations import span
from tests.support.shown import shown


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Tty(), {"TERM": "xterm"}, True),
        (Tty(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Tty(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_used_at_terminals_that_want_them(
    stream: io.StringIO, environ: dict[str, str], coloured: bool
) -> None:
    console = console_for(stream, environ)
    console.print(label("a word", "green"))
    assert ("\x1b" in stream.getvalue()) is coloured


def test_columns_stand_under_their_heads_also_with_wide_letters() -> None:
    rows = [("one", label("ready", "green")), ("\u6771\u4eac", "x")]
    assert shown(Rows(("SLUG", "LINK"), rows)) == ["SLUG  LINK", "one   ready", "\u6771\u4eac  x"]


def test_a_line_is_neither_cut_nor_wrapped_through_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(Rows(("A", "B"), [("x" * 500, label("word " * 100, "red")), ("7", "\u6771")], {"A"}, "B"), "end")
    head, long, short, end = capsys.readouterr().out.splitlines()
    assert head == " " * 499 + "A  B" and long == "x" * 500 + "  " + ("word " * 100).rstrip()
    assert short == " " * 499 + "7  \u6771" and end == "end"


def test_only_a_terminal_shows_what_a_command_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting_for("Takaro"):
        pass
    assert capsys.readouterr() == ("", "")


@given(st.text())
def test_no_text_of_others_moves_the_cursor_or_leaves_its_line(text: str) -> None:
    assert safe(text).isprintable()


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_fits_its_column(text: str, columns: int) -> None:
    assert cell_len(cut(text, columns)) <= columns


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_an_age_is_shown_in_few_letters(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 notes"), (1, "1 note"), (1_200, "1,200 notes")])
def test_a_count_of_one_is_written_in_the_singular(number: int, said: str) -> None:
    assert many(number, "note") == said


def test_hints_name_the_program_as_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "dayz-relay"
    ours.touch(mode=0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [str(ours), "status"])
    assert runnable("try `dayz-relay doctor`") == f"try `{ours} doctor`"
    assert runnable("another dayz-relay runs there") == "another dayz-relay runs there"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runnable("try `dayz-relay doctor`") == "try `dayz-relay doctor`"
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "dayz-relay").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other))
    assert runnable("dayz-relay up") == f"{ours} up"
    monkeypatch.setattr("sys.argv", ["/anywhere/__main__.py"])
    assert runnable("dayz-relay up") == "dayz-relay up"
    monkeypatch.setenv("DAYZ_RELAY_COMMAND", "docker compose run --rm cli")
    assert runnable("try `dayz-relay doctor`") == "try `docker compose run --rm cli doctor`"
