"""Links within this repository lead somewhere, anchors too."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import LINKED, ROOT

BY_READER = ["first-server", "windows", "compose", "fleet", "panel", "operate", "messages"]
"""One page for each kind of reader."""

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the titles."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


def linked(page: Path) -> set[Path]:
    """The pages of this repository to which a page leads."""
    targets = (target.partition("#")[0] for target in _LINK.findall(prose(page)))
    return {
        (page.parent / target).resolve() for target in targets if target.endswith(".md") and ":" not in target
    }


def test_every_page_is_reached_from_the_readme_by_way_of_the_list_of_pages() -> None:
    of_list = linked(ROOT / "docs" / "README.md")
    assert (ROOT / "docs" / "README.md") in linked(ROOT / "README.md")
    assert {*(ROOT / "docs").glob("*.md"), ROOT / "deploy" / "README.md"} <= of_list | {
        ROOT / "docs" / "README.md"
    }


@pytest.mark.parametrize("name", BY_READER)
def test_a_page_for_a_reader_ends_with_the_next_step(name: str) -> None:
    last = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").rstrip().rpartition("\n\n")[2]
    assert last.startswith("Next: [") and _LINK.search(last)


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 150_000, picture.name
