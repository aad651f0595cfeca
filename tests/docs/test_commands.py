"""Every `dayz-relay …` that a page names, in a sentence, a table or a block, is a command that there is."""

import argparse
import re
import shlex

import pytest

from services.cli.main import _parser
from tests.docs.pages import LINKED, ROOT, blocks

STANDS_FOR = {"SLUG": "main", "KIND": "admin", "TYPE": "log", "H": "2", "ID": "1-0", "<mod key>": "key"}
"""Words for values of which not every one will do; for the others the word itself does."""


def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The words that may follow."""
    found = [one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


_WORDS = "|".join(choices(_parser()))
_COMMAND = re.compile(rf"\bdayz-relay(?:\.exe)?(?::local)? ((?:{_WORDS}|--version)(?![\w.])[^`\n]*)")


def commands() -> set[tuple[str, str]]:
    """Page, and what follows the name of the program."""
    found = set()
    for page in LINKED:
        text = page.read_text(encoding="utf-8")
        spans = re.findall(r"`([^`\n]+)`", text)
        for words in _COMMAND.findall("\n".join(spans)):
            found.add((page.relative_to(ROOT).as_posix(), words))
    for block in blocks("bash", "powershell"):
        for words in _COMMAND.findall(
            re.sub(r"^#.*$", "", block.text.replace("\\\n", " "), flags=re.MULTILINE)
        ):
            found.add((block.page, words))
    return {(page, words) for page, words in found if "…" not in words}


@pytest.mark.parametrize(("page", "words"), sorted(commands()))
def test_the_command_exists(page: str, words: str) -> None:
    for name, value in STANDS_FOR.items():
        words = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", value, words)
    given = shlex.split(re.split(r" [|>] |\)", words)[0], posix="\\" not in words)
    parser, rest = _parser(), given
    while rest and rest[0] in choices(parser):
        parser, rest = choices(parser)[rest[0]], rest[1:]
    if not rest:
        assert parser.prog != "dayz-relay"  # just named: what it needs besides is said elsewhere
        return
    try:
        _parser().parse_args(given)
    except SystemExit as end:
        assert end.code == 0, f"{page}: dayz-relay {words}"


def test_they_are_found() -> None:
    found = commands()
    assert len(found) > 80 and len({page for page, _ in found}) > 7
