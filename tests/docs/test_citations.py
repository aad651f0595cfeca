"""What code and pages cite is in this repository: markdown files, and their numbered sections."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

FILES = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PAGES = [name for name in FILES if name.endswith(".md")]
HERE = Path(__file__).relative_to(ROOT).as_posix()  # its rows are wrong on purpose
TEXTS = [
    name for name in FILES if Path(name).suffix not in {".png", ".gif", ".ico", ".woff2"} and name != HERE
]

_PAGE = re.compile(r"(?<![\w./-])(?:\.{1,2}/)*([\w./-]*\w\.md)\b")
_SECTIONS = re.compile(r"\b(protocol|ARCHITECTURE)\.md ([A-Z]\d+(?:(?:, | and | to )[A-Z]\d+)*)")
_NUMBERS = {
    "protocol": re.compile(r"^### ([MTR]\d+) ", re.M),
    "ARCHITECTURE": re.compile(r"^\| (P\d+) \|", re.M),
}
_OF = {"protocol": ROOT / "docs" / "protocol.md", "ARCHITECTURE": ROOT / "services" / "ARCHITECTURE.md"}
THERE = {page: set(_NUMBERS[page].findall(path.read_text(encoding="utf-8"))) for page, path in _OF.items()}


def one_line(text: str) -> str:
    """A citation may go on in the next line of a docstring or a comment."""
    return re.sub(r"\s*\n\s*(?:(?:#|--|//) )?\s*", " ", text)


def pages_missing(text: str) -> list[str]:
    """Markdown files that `text` names and that are not tracked; what a build writes is in build/."""
    named = {name for name in _PAGE.findall(text) if not name.startswith("build/")}
    return sorted(name for name in named if not any(f"/{page}".endswith(f"/{name}") for page in PAGES))


def sections_missing(text: str) -> list[str]:
    """Sections that `text` cites and that are not there."""
    cited = {
        (page, number)
        for page, numbers in _SECTIONS.findall(one_line(text))
        for number in re.findall(r"[A-Z]\d+", numbers)
    }
    return sorted(f"{page}.md {number}" for page, number in cited if number not in THERE[page])


@pytest.mark.parametrize(
    ("text", "pages", "sections"),
    [
        ("see protocol.md M1, T3 and R2", [], []),
        ("see protocol.md M1, M99 to T77", [], ["protocol.md M99", "protocol.md T77"]),
        ("    # as protocol.md\n    # M99 says", [], ["protocol.md M99"]),
        ("ARCHITECTURE.md P1; ARCHITECTURE.md P99", [], ["ARCHITECTURE.md P99"]),
        ("not_here.md 3", ["not_here.md"], []),
        ("other/protocol.md", ["other/protocol.md"], []),
        ("../docs/protocol.md, ./README.md, build/any.md", [], []),
    ],
)
def test_a_wrong_citation_is_seen(text: str, pages: list[str], sections: list[str]) -> None:
    assert pages_missing(text) == pages
    assert sections_missing(text) == sections


def test_no_file_cites_a_page_or_a_section_that_is_not_here() -> None:
    wrong = {}
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        if found := pages_missing(text) + sections_missing(text):
            wrong[name] = found
    assert wrong == {}


def test_code_cites_the_protocol_by_section() -> None:
    """The whole page is no source: a reader would have to search it."""
    bare = re.compile(r"\bprotocol\.md(?! [MTR]\d)")
    code = [
        name for name in TEXTS if name.startswith(("services/", "bench/")) and name.endswith((".py", ".lua"))
    ]
    assert len(code) > 100
    texts = {name: one_line((ROOT / name).read_text(encoding="utf-8")) for name in code}
    assert [name for name, text in texts.items() if bare.search(text)] == []
    cited = [page for text in texts.values() for page, _ in _SECTIONS.findall(text)]
    assert len(cited) > 60


def missing_tests(text: str) -> list[str]:
    """Tests that `text` names and that are not there. `::test_…` is in the file named before it."""
    missing, file = [], ""
    for named, name in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+\*?))?`", text):
        file = named or file
        paths = [ROOT / path for path in FILES if Path(path).name == file]
        defined = rf"def {name[:-1]}\w*\(" if name.endswith("*") else rf"def {name}\("
        if not any(not name or re.search(defined, path.read_text(encoding="utf-8")) for path in paths):
            missing.append(f"{file}::{name}" if name else file)
    return missing


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`test_citations.py::test_a_wrong_citation_is_seen`, `::test_a_wrong_*`", []),
        ("`test_citations.py::test_that_nobody_wrote`", ["test_citations.py::test_that_nobody_wrote"]),
        ("`test_citations.py`, `::test_that_nobody_*`", ["test_citations.py::test_that_nobody_*"]),
        ("`test_of_old.py`", ["test_of_old.py"]),
    ],
)
def test_a_test_that_is_not_there_is_seen(text: str, missing: list[str]) -> None:
    assert missing_tests(text) == missing


def test_security_names_tests_that_are_there() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert text.count("`test_") > 30
    assert missing_tests(text) == []


@pytest.mark.parametrize("page", ["services/ARCHITECTURE.md", "docs/protocol.md", "CONTRIBUTING.md"])
def test_each_source_file_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`([\w./-]+\.(?:py|lua))`", (ROOT / page).read_text(encoding="utf-8")))
    assert named
    assert [
        name for name in sorted(named) if not any(f"/{file}".endswith(f"/{name}") for file in FILES)
    ] == []
