"""docs/protocol.md: its sections can be cited, and every fact says how it is known."""

import re

import pytest

from tests.docs.pages import ROOT, rows

PAGE = ROOT / "docs" / "protocol.md"
GRADES = {"measured", "read", "inferred"}

SECTIONS = {
    number: text
    for number, text in re.findall(
        r"^### ([MTR]\d+) [^\n]*\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
}
FACTS = [cells for cells in rows(PAGE) if len(cells) == 4 and cells[1] != "known"]


def test_the_sections_of_each_wire_are_numbered_without_a_gap() -> None:
    for wire in "MTR":
        of_wire = [number for number in SECTIONS if number[0] == wire]
        assert of_wire == [f"{wire}{count}" for count in range(1, len(of_wire) + 1)]


@pytest.mark.parametrize("number", SECTIONS)
def test_every_section_ends_with_how_it_is_known(number: str) -> None:
    last = SECTIONS[number].rstrip().rpartition("\n\n")[2]
    assert last.startswith("*Known:*")
    assert GRADES & set(re.findall(r"\w+", last)), last


def test_every_fact_has_a_grade() -> None:
    assert len(FACTS) > 100
    assert [cells for cells in FACTS if cells[1] not in GRADES] == []
