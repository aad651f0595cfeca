"""Which files are logs, how a log is recognised, and which files are unread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.files import (
    FileId,
    Found,
    LogKind,
    LogPosition,
    fits,
    head_of,
    is_new,
    kind_of,
    same_content,
    same_file,
    same_name,
    unmoved,
    unread,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DayZServer_x64_2026-03-08_11-34-31.RPT", LogKind.RPT),
        ("DayZServer_x64_2025_01_04_175050457.rpt", LogKind.RPT),
        ("DayZServer_x64_2026-03-08_11-34-31.ADM", LogKind.ADM),
        ("script_2026-03-08_11-34-31.log", LogKind.SCRIPT),
        ("script.log", LogKind.SCRIPT),
        ("Script_X.LOG", LogKind.SCRIPT),
        ("crash_2026-03-08.log", None),
        ("server_console.log", None),
        ("DayZServer_x64.RPT.bak", None),
        ("config.json", None),
        ("", None),
    ],
)
def test_logs_are_known_by_their_names(name: str, kind: LogKind | None) -> None:
    assert kind_of(name) is kind


def rows(found: list[Found], offsets: dict[str, int]) -> list[tuple[str, bool]]:
    return [(file.name, ended) for _, file, ended in unread(found, offsets)]


@pytest.mark.parametrize(
    ("found", "offsets", "expected"),
    [
        ([], {}, []),
        ([Found("a.RPT", 10, 1)], {}, [("a.RPT", False)]),
        ([Found("a.RPT", 10, 1)], {"a.RPT": 10}, []),
        ([Found("a.RPT", 4, 1)], {"a.RPT": 10}, [("a.RPT", False)]),  # cut short
        # The game server was restarted: the rest of the old file comes first, and its last line is complete.
        (
            [Found("b.RPT", 5, 2), Found("a.RPT", 12, 1)],
            {"a.RPT": 10},
            [("a.RPT", True), ("b.RPT", False)],
        ),
        # Started twice since the last read.
        (
            [Found("c.RPT", 5, 3), Found("a.RPT", 10, 1), Found("b.RPT", 5, 2)],
            {"a.RPT": 10},
            [("b.RPT", True), ("c.RPT", False)],
        ),
        # Written at the same moment: the name says which is newer.
        ([Found("y_2.ADM", 1, 1), Found("y_1.ADM", 1, 1)], {}, [("y_1.ADM", True), ("y_2.ADM", False)]),
        # Each kind on its own.
        (
            [Found("script_1.log", 3, 9), Found("a.RPT", 3, 1)],
            {},
            [("a.RPT", False), ("script_1.log", False)],
        ),
    ],
)
def test_unread_files_come_oldest_first(
    found: list[Found], offsets: dict[str, int], expected: list[tuple[str, bool]]
) -> None:
    assert rows(found, offsets) == expected


@given(
    st.lists(st.builds(Found, st.sampled_from(["a.RPT", "b.RPT", "c.RPT"]), st.integers(0, 3), st.just(1.0)))
)
def test_only_the_newest_file_of_a_kind_has_not_ended(found: list[Found]) -> None:
    unique = list({file.name: file for file in found}.values())
    assert sum(not ended for _, ended in rows(unique, {})) <= 1


BEGINNING = b"Current time:  2026/07/11 11:38:05\r\n" * 20


def read_to(offset: int, file_id: FileId | None = None) -> LogPosition:
    return LogPosition("a.RPT", file_id, offset, head_of(BEGINNING, offset))


@pytest.mark.parametrize("offset", [0, 10, 256, 500])
def test_a_file_that_has_grown_is_the_same(offset: int) -> None:
    assert fits(read_to(offset), 720, BEGINNING)


@pytest.mark.parametrize(
    ("size", "beginning"), [(40, BEGINNING), (720, BEGINNING.replace(b"11:38", b"11:39")), (0, b"")]
)
def test_a_file_that_was_cut_short_or_rewritten_is_another_one(size: int, beginning: bytes) -> None:
    assert not fits(read_to(500), size, beginning)


A, B = FileId(1, 1), FileId(1, 2)


@pytest.mark.parametrize(
    ("known", "now", "is_unmoved"),
    [(A, A, True), (A, B, False), (None, B, True), (A, None, True)],
)
def test_a_file_has_not_moved_if_its_name_and_number_are_the_same(
    known: FileId | None, now: FileId | None, is_unmoved: bool
) -> None:
    found, absent = Found("a.RPT", 720, 1, now), read_to(500, known)
    assert unmoved(absent, found) is is_unmoved
    assert same_name(absent, found)
    assert not unmoved(absent, found._replace(name="b.RPT"))
    assert fits(absent, 720, BEGINNING) and not fits(absent, 720, BEGINNING[1:])


@pytest.mark.parametrize(
    ("beginning", "file_id", "by_number", "by_content"),
    [
        (BEGINNING, A, True, True),
        (BEGINNING, B, False, True),
        (BEGINNING, None, False, True),
        (BEGINNING.replace(b"11:38", b"11:39"), A, False, False),
    ],
)
def test_a_renamed_file_is_known_by_its_number_and_content(
    beginning: bytes, file_id: FileId | None, by_number: bool, by_content: bool
) -> None:
    found, absent = Found("b.RPT", 720, 1, file_id), read_to(500, A)
    fit = fits(absent, 720, beginning)
    assert (same_file(absent, found) and fit) is by_number
    assert (same_content(absent, found) and fit) is by_content


def test_a_file_that_has_just_begun_is_not_recognised_by_its_content() -> None:
    assert not same_content(read_to(40, A), Found("b.RPT", 720, 1, B))
    old_form = read_to(700)._replace(head=head_of(BEGINNING, 256))
    assert not same_content(old_form, Found("b.RPT", 720, 1, B))


@pytest.mark.parametrize(("age_s", "new"), [(0, True), (-5, True), (599, True), (601, False)])
def test_an_old_file_that_appears_counts_as_a_copy(age_s: float, new: bool) -> None:
    assert is_new(Found("a.RPT", 1, 10_000.0 - age_s), 10_000.0) is new
