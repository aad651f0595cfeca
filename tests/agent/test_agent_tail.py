"""Log files on a real disk, as a DayZ server writes them."""

import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.agent import state, tail
from services.agent.files import HEAD_BYTES, LogKind
from services.agent.tail import Tail

HEAD = b"Current time:  2026/07/11 11:38:05\r\n"


def texts(one: Tail) -> list[str]:
    return [read.text for read in one.read()]


def add(path: Path, data: bytes) -> Path:
    with path.open("ab") as file:
        file.write(data)
    return path


def test_lines_from_before_the_first_start_are_not_sent(tmp_path: Path) -> None:
    add(tmp_path / "a.RPT", b"old\n")
    one = Tail(tmp_path, None)
    assert texts(one) == []
    add(tmp_path / "a.RPT", b"new\n")
    add(tmp_path / "a.ADM", b"its first line\n")
    add(tmp_path / "config.json", b"no log\n")
    assert texts(one) == ["new", "its first line"]
    assert texts(one) == []


def test_a_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
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


def test_a_file_that_is_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "script.log"
    one = Tail(tmp_path, None)
    add(path, HEAD + b"one\ntwo\n")
    assert len(texts(one)) == 3
    path.write_bytes(b"three\n")
    assert texts(one) == ["three"]


def test_another_file_under_the_same_name_is_read_from_its_start_even_if_it_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "script.log"
    one = Tail(tmp_path, None)
    add(path, HEAD + b"one\n")
    assert len(texts(one)) == 2
    path.write_bytes(HEAD.replace(b"11:38", b"12:00") + b"three\n" * 3)
    assert texts(one)[1:] == ["three"] * 3


def test_new_lines_of_a_long_log_that_was_put_back_to_an_earlier_state_are_read(tmp_path: Path) -> None:
    path, earlier = tmp_path / "script.log", HEAD * (HEAD_BYTES // len(HEAD) + 1) + b"one\n"
    one = Tail(tmp_path, None)
    add(path, earlier + b"two\n")
    assert texts(one)[-2:] == ["one", "two"]
    path.write_bytes(earlier)
    assert texts(one) == []
    add(path, b"six\n")  # it is as long as it was, and begins as it did
    assert texts(one) == ["six"]


def test_zeros_at_the_end_are_not_read_before_the_game_has_written_there(tmp_path: Path) -> None:
    """Over a network a file can be longer than its written part."""
    path = add(tmp_path / "a.ADM", HEAD * 10)
    one = Tail(tmp_path, None)
    add(path, b"one\n" + bytes(6_000))
    assert texts(one) == ["one"] and texts(one) == []
    with path.open("r+b") as file:
        file.seek(len(HEAD) * 10 + 4)
        file.write(b"two\n")
    assert texts(one) == ["two"]
    with path.open("r+b") as file:
        file.truncate(len(HEAD) * 10 + 8)
    add(path, b"three\n")
    assert texts(one) == ["three"]


def test_a_hole_of_zeros_in_a_log_hides_nothing_behind_it(tmp_path: Path) -> None:
    path = add(tmp_path / "a.ADM", HEAD * 10)
    one = Tail(tmp_path, None)
    add(path, bytes(tail.MAX_READ_BYTES + 5_000) + b"\none\n")
    assert [text for _ in range(3) for text in texts(one)] == ["one"]


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    add(logs / "quiet.ADM", b"nothing more comes here\n")
    path = add(logs / "a.RPT", HEAD)
    first = Tail(logs, None)
    add(path, b"one\n")
    assert texts(first) == ["one"]
    state.save(tmp_path / "s", (file.position for file in first.known.files))

    add(path, b"two\n")
    add(logs / "b.RPT", b"three\n")
    os.utime(path, (time.time() - 5, time.time() - 5))
    second = Tail(logs, state.load(tmp_path / "s"))
    assert texts(second) == ["two", "three"]
    state.save(tmp_path / "s", (file.position for file in second.known.files))
    assert texts(Tail(logs, state.load(tmp_path / "s"))) == []

    # Also for a file that this agent has not read yet.
    add(logs / "quiet.ADM", b"after all\n")
    assert texts(Tail(logs, state.load(tmp_path / "s"))) == ["after all"]


def test_an_old_log_that_is_copied_there_is_not_sent(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    path = add(tmp_path / "backup.RPT", b"old\n")
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert texts(one) == []
    add(path, b"new\n")
    assert texts(one) == ["new"]


def test_many_new_lines_are_read_in_parts(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(3_000)]
    one = Tail(tmp_path, None, max_read_bytes=10_000)
    add(tmp_path / "a.RPT", "".join(f"{line}\n" for line in lines).encode())
    add(tmp_path / "b.RPT", b"the newest\n")
    seen: list[str] = []
    parts = 0
    while more := texts(one):
        seen += more
        parts += 1
    assert sorted(seen) == sorted([*lines, "the newest"]) and parts == 3


def test_a_folder_that_was_away_loses_and_repeats_nothing(tmp_path: Path) -> None:
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


def test_a_hundred_deleted_files_are_remembered(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    for number in range(103):
        add(tmp_path / "a.RPT", b"%d\n" % number)
        assert texts(one) == [str(number)]
        (tmp_path / "a.RPT").unlink()
        add(tmp_path / "b.ADM", b"more\n")
        assert texts(one) == ["more"]
    assert len(one.known.files) == 101


def test_a_line_comes_with_the_kind_of_its_log_and_its_end(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    add(tmp_path / "a.ADM", b"one\n\ntwo\n")
    first, second = one.read()
    assert (first.kind, first.text, first.offset) == (LogKind.ADM, "one", 4)
    assert (second.kind, second.text, second.offset) == (LogKind.ADM, "two", 9)
    assert first.file is second.file is one.known.files[0]


LOG = HEAD + b"".join(b"%d: a line that is long enough to know a log by\n" % number for number in range(20))


@pytest.fixture
def skipped(tmp_path: Path) -> tuple[Tail, Path]:
    """A log that existed before the first start, so that none of its lines is sent."""
    path = add(tmp_path / "a.ADM", LOG)
    return Tail(tmp_path, None), path


def again(one: Tail, folder: Path) -> Tail:
    """After a restart."""
    state.save(folder / "s", (file.position for file in one.known.files))
    return Tail(folder, state.load(folder / "s"))


@pytest.mark.parametrize("restarts", [False, True])
def test_a_log_that_is_renamed_is_followed_under_its_new_name(
    skipped: tuple[Tail, Path], tmp_path: Path, restarts: bool
) -> None:
    one, path = skipped
    one = again(one, tmp_path) if restarts else one
    path = path.rename(tmp_path / "b.ADM")
    assert texts(one) == []
    add(path, b"new\n")
    assert texts(one) == ["new"]
    path = path.rename(tmp_path / "a.ADM")
    add(path, b"newer\n")
    assert texts(again(one, tmp_path)) == ["newer"]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_copy_of_a_log_is_not_sent(skipped: tuple[Tail, Path], tmp_path: Path, restarts: bool) -> None:
    one, path = skipped
    add(path, b"new\n")
    assert texts(one) == ["new"]
    one = again(one, tmp_path) if restarts else one
    add(path, b"newer\n")  # not read yet, and in both
    shutil.copyfile(path, tmp_path / "a copy.ADM")
    (tmp_path / "an older copy.ADM").write_bytes(LOG[:500])
    assert texts(one) == ["newer"]
    assert texts(again(one, tmp_path)) == []


def test_a_copy_is_not_sent_while_it_is_written(skipped: tuple[Tail, Path], tmp_path: Path) -> None:
    one, path = skipped
    for start in range(0, len(LOG), 200):
        add(tmp_path / "b.ADM", LOG[start : start + 200])
        assert texts(one) == []
    add(path, b"new\n")
    assert texts(one) == ["new"]


def test_a_log_that_is_moved_by_being_copied_goes_on(skipped: tuple[Tail, Path], tmp_path: Path) -> None:
    one, path = skipped
    add(path, b"new\n")
    shutil.copyfile(path, tmp_path / "b.ADM")
    path.unlink()
    assert texts(one) == ["new"]


def test_a_log_that_is_copied_and_cut_short_is_finished_in_the_copy(
    skipped: tuple[Tail, Path], tmp_path: Path
) -> None:
    one, path = skipped
    add(path, b"the last one\n")
    shutil.copyfile(path, tmp_path / "a.1.ADM")
    path.write_bytes(b"the first one\n")
    assert sorted(texts(one)) == ["the first one", "the last one"]
    assert texts(one) == []


def test_a_rotation_by_renaming_misses_and_repeats_nothing(
    skipped: tuple[Tail, Path], tmp_path: Path
) -> None:
    one, path = skipped
    for number in range(3):
        add(path, b"the last of %d\n" % number)
        path.rename(tmp_path / f"a.{number}.ADM")
        add(path, HEAD.replace(b"2026", b"%d" % (2030 + number)) + b"the first of %d\n" % number)
        lines = [line for line in texts(one) if line.startswith("the")]
        assert lines == [f"the last of {number}", f"the first of {number}"]


def test_a_new_log_with_the_number_of_a_deleted_one_is_read(tmp_path: Path) -> None:
    one = Tail(tmp_path, None)
    for number in range(4):  # the file system uses the number again
        path = add(tmp_path / f"{number}.ADM", b"start %d\n" % number + LOG)
        assert texts(one)[0] == f"start {number}"
        path.unlink()


def test_a_new_log_that_begins_as_the_last_one_is_read(skipped: tuple[Tail, Path], tmp_path: Path) -> None:
    """First only the header, then different lines: those after the header are new."""
    one, _ = skipped
    path = add(tmp_path / "b.ADM", LOG[:200])
    texts(one)
    add(path, b"\n" + b"another\n" * 30)
    assert texts(one).count("another") == 30


def test_another_log_of_the_same_size_under_the_same_name_is_read(
    skipped: tuple[Tail, Path], tmp_path: Path
) -> None:
    one, path = skipped
    path.write_bytes(LOG.replace(b"11:38", b"11:39"))
    os.utime(path, (time.time(), time.time() + 1))
    assert len(texts(again(one, tmp_path))) == 21


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_a_log_is_not_read_as_another_log(
    skipped: tuple[Tail, Path], tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    one, path = skipped
    link(path, tmp_path / "Newest.ADM")
    add(path, b"new\n")
    assert texts(one) == ["new"]
    assert texts(again(one, tmp_path)) == []


def test_a_saved_state_of_the_first_form_is_used(skipped: tuple[Tail, Path], tmp_path: Path) -> None:
    _, path = skipped
    add(path, b"new\n")
    old = {"a.ADM": [len(LOG), zlib.crc32(LOG[:256])], "gone.RPT": [7, 1]}
    (tmp_path / "s").write_text(json.dumps(old))
    one = Tail(tmp_path, state.load(tmp_path / "s"))
    assert texts(one) == ["new"]
    path.rename(tmp_path / "b.ADM")
    assert texts(again(one, tmp_path)) == []


def replaced(path: Path, data: bytes) -> None:
    """Replaces the file by another one of its name, as an editor or a sync tool does."""
    new = path.with_suffix(".tmp")
    new.write_bytes(data)
    os.replace(new, path)


def test_a_log_that_is_moved_by_being_copied_during_a_restart_goes_on(
    skipped: tuple[Tail, Path], tmp_path: Path
) -> None:
    one, path = skipped
    shutil.copyfile(path, tmp_path / "b.ADM")
    path.unlink()
    add(tmp_path / "b.ADM", b"new\n")
    assert texts(again(one, tmp_path)) == ["new"]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_log_too_short_to_be_known_by_its_content_is_known_by_its_number_or_its_name(
    tmp_path: Path, restarts: bool
) -> None:
    path = add(tmp_path / "a.ADM", b"short\n")
    one = Tail(tmp_path, None)
    one = again(one, tmp_path) if restarts else one
    path = path.rename(tmp_path / "b.ADM")
    assert texts(one) == []
    one = again(one, tmp_path) if restarts else one
    replaced(path, b"short\nnew\n")
    assert texts(one) == ["new"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_a_log_that_has_just_begun_is_not_read_as_another_log(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    one = Tail(tmp_path, None)
    path = add(tmp_path / "a.ADM", b"first\n")
    link(path, tmp_path / "Newest.ADM")
    assert texts(one) == ["first"]
    assert texts(one) == []


def test_only_new_lines_of_a_copy_are_sent(skipped: tuple[Tail, Path], tmp_path: Path) -> None:
    one, path = skipped
    shutil.copyfile(path, tmp_path / "b.ADM")
    add(tmp_path / "b.ADM", b"new\n")
    assert texts(one) == ["new"]


def test_a_log_that_is_renamed_and_copied_at_once_is_sent_from_one_of_the_two(
    skipped: tuple[Tail, Path], tmp_path: Path
) -> None:
    one, path = skipped
    path = add(path, b"new\n").rename(tmp_path / "b.ADM")
    shutil.copyfile(path, tmp_path / "c.ADM")
    assert texts(one) == ["new"]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "rename", "copy", "delete", "start", "truncate", "look", "restart"]),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=25,
)


@given(ACTIONS)
@example([("start", 1, 0), ("copy", 1, 2), ("write", 2, 0), ("rename", 2, 1)])
@example([("start", 0, 0), ("start", 1, 0), ("truncate", 0, 0), ("restart", 0, 0), ("start", 1, 0)])
@example([("start", 0, 0), ("copy", 0, 1), ("rename", 1, 0), ("write", 0, 0), ("copy", 0, 1)])
@example([("start", 1, 0), ("rename", 1, 0), ("start", 0, 0), ("restart", 0, 0), ("rename", 0, 1)])
@settings(deadline=None, max_examples=60)
def test_each_line_comes_once_whatever_happens_to_the_files(actions: list[tuple[str, int, int]]) -> None:
    """Each line has its own number, is written once, and is read at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, sent, count, begun_s = Tail(folder, None), [], 0, time.time()
        for action, first, second in actions:
            path, other = folder / f"{first}.ADM", folder / f"{second}.ADM"
            count += 1
            line = b"line %d, and some more to know it by\n" % count
            if action == "start":
                path.unlink(missing_ok=True)
                path.write_bytes(b"Log of start %d\n" % count + HEAD * 3 + line)
                os.utime(path, (time.time(), begun_s + count))  # the clock of a file system ticks slowly
                sent += texts(one)
                assert line.decode().strip() in sent
            elif action == "write" and path.exists():
                add(path, line)
                sent += texts(one)
                assert line.decode().strip() in sent
            elif action == "rename" and path.exists():
                path.rename(other)
            elif action == "copy" and path.exists() and not other.exists():
                sent += texts(one)
                shutil.copyfile(path, other)
                sent += texts(one)
            elif action == "delete":
                path.unlink(missing_ok=True)
            elif action == "truncate" and path.exists():
                path.write_bytes(b"Log of start %d\n" % count + HEAD * 3)
            elif action == "look":
                sent += texts(one)
            elif action == "restart":
                one = again(one, folder)
        sent += texts(one)
        lines = [text for text in sent if text.startswith("line")]
        assert len(lines) == len(set(lines))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a.RPT": 7}', '{"a.RPT": ["x", 1]}', "\xff"])
def test_an_unreadable_state_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_bytes(text.encode("latin-1"))
    assert state.load(tmp_path / "s") is None
    assert state.load(tmp_path / "missing") is None
