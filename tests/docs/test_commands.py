"""Every `dayz-relay …` that a page names, in a sentence, a table or a block, is a command that there is."""

import re
import shlex

import pytest
from typer.core import TyperGroup

from tests.docs.pages import LINKED, ROOT, blocks
from tests.support.command_line import COMMANDS, parsed

STANDS_FOR = {
    "SLUG": "main",
    "KIND": "admin",
    "SHELL": "bash",
    "TYPE": "log",
    "H": "2",
    "ID": "1-0",
    "<mod key>": "key",
}
"""Words for values of which not every one will do; for the others the word itself does."""


def names(command: object) -> list[str]:
    """The commands that may follow."""
    return list(command.commands) if isinstance(command, TyperGroup) else []


_WORDS = "|".join(names(COMMANDS))
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
    words = re.sub(r"\[([\w.-]+)\]", r"\1", words)  # a value that may be left out
    given = shlex.split(re.split(r" [|>] |\)", words)[0], posix="\\" not in words)
    command, rest = COMMANDS, given
    while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    if not rest:
        assert command is not COMMANDS  # just named: what it needs besides is said elsewhere
    elif "--help" not in rest and "--version" not in rest:
        parsed(given)


def leaves(command: object, *path: str) -> list[tuple[str, ...]]:
    """All commands that do something, with the words that lead to each."""
    if not isinstance(command, TyperGroup):
        return [path]
    return [leaf for name, below in command.commands.items() for leaf in leaves(below, *path, name)]


@pytest.mark.parametrize("path", leaves(COMMANDS), ids=" ".join)
def test_a_test_runs_the_command(path: tuple[str, ...]) -> None:
    """By its words in the code of a test, or in a block of a page that a test runs."""
    quoted = '"' + '", "'.join(path) + '"'
    in_tests = [ROOT / "tests" / folder for folder in ("cli", "flows", "agent", "docs")]
    texts = [file.read_text() for folder in in_tests for file in sorted(folder.glob("*.py"))]
    run = [block.text for block in blocks("bash") if not block.marker.startswith("not run")]
    assert any(quoted in text for text in texts) or any(f"relay {' '.join(path)}" in text for text in run)


def test_commands_are_found_in_the_docs() -> None:
    found = commands()
    assert len(found) > 80 and len({page for page, _ in found}) > 7
