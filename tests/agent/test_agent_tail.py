"""Log files on a real disk, as a DayZ server writes them."""

import os
import time
from pathlib import Path

import pytest

from services.agent import state, tail
from services.agent.files import Kind
from services.agent.tail import Tail

HEAD = b"Current time:  2026/07/11 11:38:05\r\n"


def texts(one: Tail) -> list[str]:
    return [read.text for read in one.read()]


def add(path: Path, data: bytes) -> Path:
    with path.open("ab") as file:
        file.write(data)
    return path


def test_what_was_there_before_the_first_start_is_not_sent(tmp_path: Path) -> None:
    add(tmp_path / "a.RPT", b"old\n")
    one = Tail(tmp_path, None)
    assert texts(one) == []
    add(tmp_path / "a.RPT", b"new\n")
    add(tmp_path / "a.ADM", b"its first line\n")
    add(tmp_path / "config.json", b"no log\n")
    assert texts(one) == ["new", "its first line"]
    assert texts(one) == []


def test_a_line_comes_once_it_is_whole(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    path = add(tmp_path / "a.RPT", b"one\r\ntw")
    assert texts(one) == ["one"]
    add(path, b"o")
    assert texts(one) == []
    add(path, b"!\r\n\r\nthree\r\n")
    assert texts(one) == ["two!", "three"]


def test_a_new_start_of_the_game_server_is_followed_and_the_old_file_is_finished(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    old = add(tmp_path / "x_2026-03-08_11-34-31.RPT", b"one\n")
    assert texts(one) == ["one"]
    add(old, b"two\nkilled in the midd")
    os.utime(old, (time.time() - 5, time.time() - 5))
    add(tmp_path / "x_2026-03-08_12-00-00.RPT", b"three\n")
    assert texts(one) == ["two", "killed in the midd", "three"]
    assert texts(one) == []


def test_a_file_that_is_cut_short_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "script.log"
    one = Tail(tmp_path, None)
    add(path, HEAD + b"one\ntwo\n")
    assert len(texts(one)) == 3
    path.write_bytes(b"three\n")
    assert texts(one) == ["three"]


def test_another_file_under_the_same_name_is_read_anew_even_if_it_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "script.log"
    one = Tail(tmp_path, None)
    add(path, HEAD + b"one\n")
    assert len(texts(one)) == 2
    path.write_bytes(HEAD.replace(b"11:38", b"12:00") + b"three\n" * 3)
    assert texts(one)[1:] == ["three"] * 3


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    add(logs / "quiet.ADM", b"nothing more comes here\n")
    path = add(logs / "a.RPT", HEAD)
    first = Tail(logs, None)
    add(path, b"one\n")
    assert texts(first) == ["one"]
    state.save(tmp_path / "s", first.positions)

    add(path, b"two\n")
    add(logs / "b.RPT", b"three\n")
    os.utime(path, (time.time() - 5, time.time() - 5))
    second = Tail(logs, state.load(tmp_path / "s"))
    assert texts(second) == ["two", "three"]
    state.save(tmp_path / "s", second.positions)
    assert texts(Tail(logs, state.load(tmp_path / "s"))) == []

    # Also in a file that this start has not read yet.
    add(logs / "quiet.ADM", b"after all\n")
    assert texts(Tail(logs, state.load(tmp_path / "s"))) == ["after all"]


def test_an_old_log_that_is_copied_there_is_not_sent(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    path = add(tmp_path / "backup.RPT", b"old\n")
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert texts(one) == []
    add(path, b"new\n")
    assert texts(one) == ["new"]


def test_much_at_once_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_READ_BYTES", 10_000)
    lines = [f"line {number}" for number in range(3_000)]
    one = Tail(tmp_path, None)
    add(tmp_path / "a.RPT", "".join(f"{line}\n" for line in lines).encode())
    add(tmp_path / "b.RPT", b"the newest\n")
    seen: list[str] = []
    parts = 0
    while more := texts(one):
        seen += more
        parts += 1
    assert sorted(seen) == sorted([*lines, "the newest"]) and parts == 3


def test_a_folder_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    one = Tail(logs, None)
    path = add(logs / "a.RPT", b"one\n")
    assert texts(one) == ["one"]
    logs.rename(away)
    assert texts(one) == []
    logs.mkdir()  # where the mount was
    assert texts(one) == []
    logs.rmdir()
    away.rename(logs)
    add(path, b"two\n")
    assert texts(one) == ["two"]


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    path = add(tmp_path / "a.RPT", b"one\n")
    add(tmp_path / "b.RPT", b"two\n")
    texts(one)
    path.unlink()
    texts(one)
    assert one.positions.keys() == {"b.RPT"}


def test_it_says_what_kind_of_log_a_line_is_from_and_how_far_it_goes(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    add(tmp_path / "a.ADM", b"one\n\ntwo\n")
    assert [tuple(read) for read in one.read()] == [
        (Kind.ADM, "one", "a.ADM", 4),
        (Kind.ADM, "two", "a.ADM", 9),
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a.RPT": 7}', '{"a.RPT": ["x", 1]}', "\xff"])
def test_a_state_that_cannot_be_read_is_no_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_bytes(text.encode("latin-1"))
    assert state.load(tmp_path / "s") is None
    assert state.load(tmp_path / "missing") is None
