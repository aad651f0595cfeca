"""deploy/README.md and docs/compose.md name files, commands and services that exist."""

import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT, env_file, read
from tests.support.command_line import parsed

TEXT = "\n".join((ROOT / name).read_text() for name in ("deploy/README.md", "docs/compose.md"))
FILES = {
    path
    for path in re.findall(r"\b(?:(?<!tests/)deploy/[\w./@-]*\w|[\w.-]+\.(?:yml|yaml|toml|md|txt))", TEXT)
}
YOURS = {"my-config.yaml", "relay.toml", "docker-compose.override.yml"}
COMPOSE = read(env_file(ROOT / "deploy" / "demo" / "compose.env"))


@pytest.mark.parametrize("name", sorted(FILES - YOURS))
def test_every_file_named_is_there(name: str) -> None:
    places = (ROOT, ROOT / "deploy" / "kubernetes", ROOT / "docs")
    assert any((place / name).exists() or list(place.glob(name + "*")) for place in places)


def test_every_link_within_it_leads_somewhere() -> None:
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^###? (.*)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= titles


def test_every_compose_command_names_what_is_there() -> None:
    commands = re.findall(r"docker compose [^`\n&|]*", TEXT + (ROOT / "docker-compose.yml").read_text())
    profiles = {one for service in COMPOSE["services"].values() for one in service.get("profiles", [])}
    assert len(commands) > 5
    for command in commands:
        assert set(re.findall(r"--profile (\w+)", command)) <= profiles
        assert set(re.findall(r"--scale (\w+)=", command)) <= COMPOSE["services"].keys()
        assert all((ROOT / name).exists() for name in re.findall(r"--env-file (\S+)", command))
        for service, words in re.findall(r"run --rm (\w+) (\w.*)", command):
            assert service in COMPOSE["services"]
            arguments = shlex.split(words)
            if service == "backup":
                assert f"\n{arguments[0]}() {{" in (ROOT / "deploy/compose/backup.sh").read_text()
            else:
                parsed(arguments)


def test_every_unit_named_is_one_of_ours() -> None:
    units = set(re.findall(r"dayz-relay@(\w+)", TEXT))
    assert units == {"modapi", "uplink"} and (Path(ROOT) / "deploy/systemd/dayz-relay@.service").exists()
