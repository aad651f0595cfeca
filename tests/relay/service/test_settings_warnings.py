"""Warnings about secrets that others can read or guess say what to do."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.relay.service.settings import Instance, load
from services.relay.service.settings_warnings import cautions, equal_names, guessable

GOOD = "identity-that-nobody-can-guess"
BLOCK = '[[instance]]\nslug = "main"\nname = "My server"\nidentity_token{file} = "{value}"\n'


def told(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    return cautions(load(path, environ or {}))


def write(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "open_to_others"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)]
)
def test_a_file_with_secrets_that_others_can_read_is_named(
    tmp_path: Path, mode: int, open_to_others: bool
) -> None:
    path = write(tmp_path / "relay.toml", BLOCK.format(file="", value=GOOD), mode)
    lines = told(path)
    assert bool(lines) is open_to_others
    if lines:
        (line,) = lines
        assert line.startswith(f"{path}: others on this machine can read it (mode {mode:04o})")
        assert line.endswith(f"chmod 600 {path}")


def test_a_file_that_names_others_for_its_secrets_may_be_read_but_they_may_not(tmp_path: Path) -> None:
    path = write(tmp_path / "relay.toml", BLOCK.format(file="_file", value="identity"), 0o644)
    secret = write(tmp_path / "identity", GOOD, 0o600)
    assert told(path) == []
    secret.chmod(0o604)
    assert [line.split(":")[0] for line in told(path)] == [str(secret)]


def test_a_file_that_the_environment_names_is_looked_at_too(tmp_path: Path) -> None:
    path = write(tmp_path / "relay.toml", BLOCK.format(file="_file", value="identity"), 0o644)
    write(tmp_path / "identity", GOOD, 0o600)
    token = write(tmp_path / "token", "registration-token", 0o644)
    assert [line.split(":")[0] for line in told(path, {"TAKARO_REGISTRATION_TOKEN_FILE": str(token)})] == [
        str(token)
    ]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_group_may_read_a_file_that_is_not_ours(tmp_path: Path) -> None:
    path = write(tmp_path / "relay.toml", BLOCK.format(file="", value=GOOD), 0o640)
    os.chown(path, 1, 1)
    assert told(path) == []
    path.chmod(0o644)
    assert len(told(path)) == 1


@pytest.mark.parametrize(
    ("token", "what"),
    [
        ("My DayZ server - Chernarus", "is just the server's name"),
        ("my dayz server chernarus", "is just the server's name"),
        ("chernarus-1", "is just the server's name"),
        ("hunter2", "has only 7 characters"),
        (GOOD, ""),
    ],
)
def test_a_guessable_identity_token_is_named_with_its_consequence(token: str, what: str) -> None:
    instance = Instance(
        slug="chernarus-1", name="My DayZ server - Chernarus", identity_token=SecretStr(token)
    )
    line = guessable(instance)
    assert bool(line) is bool(what)
    if line:
        assert line.startswith(f"chernarus-1: its identity_token {what}. ")
        assert "can speak there as this server" in line and "it sees a new server" in line
        assert token not in line.removeprefix("chernarus-1: ")


@pytest.mark.parametrize(
    ("names", "tokens", "warned"),
    [
        (("A", "B", "A", "A"), ("t", "t", "t", "t"), ["two", "three"]),
        (("A", "A"), ("t", "u"), []),  # two domains of Takaro's
        (("A", "A"), (None, None), ["one"]),
        (("A", "B"), ("t", "t"), []),
        ((), (), []),
    ],
)
def test_a_name_that_an_earlier_server_of_the_same_domain_has_is_named(
    names: tuple[str, ...], tokens: tuple[str | None, ...], warned: list[str]
) -> None:
    slugs = ["zero", "one", "two", "three"]
    instances = [
        Instance(
            slug=slug,
            name=f"Server {name}",
            identity_token=SecretStr(f"{GOOD}-{slug}"),
            registration_token=SecretStr(token) if token else None,
        )
        for slug, name, token in zip(slugs, names, tokens, strict=False)
    ]
    lines = equal_names(instances)
    assert [line.split(":")[0] for line in lines] == warned
    assert all(": zero has the same name" in line and "token" not in line for line in lines)


def test_two_servers_with_one_name_are_reported_at_the_start(tmp_path: Path) -> None:
    blocks = "".join(
        f'[[instance]]\nslug = "{slug}"\nname = "Mine"\nidentity_token = "{GOOD}-{slug}"\n'
        f'mod_keys = ["key-of-{slug}-0123456789"]\n'
        for slug in ("one", "two")
    )
    (line,) = told(write(tmp_path / "relay.toml", blocks, 0o600))
    assert line.startswith("two: one has the same name")
