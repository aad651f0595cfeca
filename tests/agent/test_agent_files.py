"""Which files are logs, and what of them is to be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.files import START, Found, Kind, Position, go_on, head_of, kind_of, new_file, unread


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DayZServer_x64_2026-03-08_11-34-31.RPT", Kind.RPT),
        ("DayZServer_x64_2025_01_04_175050457.rpt", Kind.RPT),
        ("DayZServer_x64_2026-03-08_11-34-31.ADM", Kind.ADM),
        ("script_2026-03-08_11-34-31.log", Kind.SCRIPT),
        ("script.log", Kind.SCRIPT),
        ("Script_X.LOG", Kind.SCRIPT),
        ("crash_2026-03-08.log", None),
        ("server_console.log", None),
        ("DayZServer_x64.RPT.bak", None),
        ("config.json", None),
        ("", None),
    ],
)
def test_logs_are_known_by_their_names(name: str, kind: Kind | None) -> None:
    assert kind_of(name) is kind


def rows(found: list[Found], positions: dict[str, Position]) -> list[tuple[str, bool]]:
    return [(file.name, ended) for _, file, ended in unread(found, positions)]


@pytest.mark.parametrize(
    ("found", "offsets", "expected"),
    [
        ([], {}, []),
        ([Found("a.RPT", 10, 1)], {}, [("a.RPT", False)]),
        ([Found("a.RPT", 10, 1)], {"a.RPT": 10}, []),
        ([Found("a.RPT", 4, 1)], {"a.RPT": 10}, [("a.RPT", False)]),  # cut short
        # A new start of the game server: what is left of the old file first, its last line is whole.
        (
            [Found("b.RPT", 5, 2), Found("a.RPT", 12, 1)],
            {"a.RPT": 10},
            [("a.RPT", True), ("b.RPT", False)],
        ),
        # Started twice since the last look.
        (
            [Found("c.RPT", 5, 3), Found("a.RPT", 10, 1), Found("b.RPT", 5, 2)],
            {"a.RPT": 10},
            [("b.RPT", True), ("c.RPT", False)],
        ),
        # Written at the same moment: the name says which is newer.
        ([Found("y_2.ADM", 1, 1), Found("y_1.ADM", 1, 1)], {}, [("y_1.ADM", True), ("y_2.ADM", False)]),
        # Each kind for itself.
        (
            [Found("script_1.log", 3, 9), Found("a.RPT", 3, 1)],
            {},
            [("a.RPT", False), ("script_1.log", False)],
        ),
    ],
)
def test_what_is_unread_comes_oldest_first(
    found: list[Found], offsets: dict[str, int], expected: list[tuple[str, bool]]
) -> None:
    assert rows(found, {name: Position(offset, 0) for name, offset in offsets.items()}) == expected


@given(
    st.lists(st.builds(Found, st.sampled_from(["a.RPT", "b.RPT", "c.RPT"]), st.integers(0, 3), st.just(1.0)))
)
def test_one_file_of_a_kind_at_most_goes_on(found: list[Found]) -> None:
    unique = list({file.name: file for file in found}.values())
    assert sum(not ended for _, ended in rows(unique, {})) <= 1


BEGINNING = b"Current time:  2026/07/11 11:38:05\r\n" * 20


@pytest.mark.parametrize("offset", [0, 10, 256, 500])
def test_reading_goes_on_where_it_was_while_the_file_is_the_same(offset: int) -> None:
    position = Position(offset, head_of(BEGINNING, offset))
    assert go_on(position, 600, BEGINNING) == position


@pytest.mark.parametrize(
    ("size", "beginning"), [(40, BEGINNING), (600, BEGINNING.replace(b"11:38", b"11:39")), (0, b"")]
)
def test_a_file_that_was_cut_short_or_replaced_is_read_from_its_start(size: int, beginning: bytes) -> None:
    assert go_on(Position(500, head_of(BEGINNING, 500)), size, beginning) == START


@pytest.mark.parametrize(("age_s", "new"), [(0, True), (-5, True), (599, True), (601, False)])
def test_an_old_file_that_turns_up_is_somebodys_copy(age_s: float, new: bool) -> None:
    assert new_file(Found("a.RPT", 1, 10_000.0 - age_s), 10_000.0) is new
