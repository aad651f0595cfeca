"""The docs say what is: settings, variables, commands and what is printed are compared with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli import up
from services.cli.main import main
from services.cli.up import banner
from services.relay.service.settings import KEYS, SECRETS, Instance, Settings, load
from services.relay.service.settings_names import SHORT_NAMES, env_name

DOCS = Path(__file__).parents[2] / "docs"
FIRST_SERVER = (DOCS / "first-server.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for page in ("settings.md", "commands.md")
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines()
    if line[:1] == "|"
]


def settings_rows() -> Iterator[list[str]]:
    defaults = Settings()
    for section, keys in KEYS.items():
        for key in keys:
            name = (section, "0", key) if section == "instance" else (section, key)
            if section == "instance":
                place = "[[instance]]"
                field = Instance.model_fields[key]
                default = (
                    "required" if field.is_required() else f"`{field.default}`" if field.default else "none"
                )
            else:
                place = f"[{section}]"
                value = getattr(getattr(defaults, section), key)
                shown = str(value).lower() if isinstance(value, bool) else value
                default = "none" if value in (None, ()) else f"`{shown}`"
            star = " *" if (section, key) in SECRETS else ""
            yield [f"`{place} {key}`{star}", f"`{env_name(name)}`", default]


def test_the_table_of_settings_is_complete_and_right() -> None:
    told = [row[:3] for row in ROWS if row[0].startswith("`[")]
    assert told == list(settings_rows())


def test_the_table_of_short_names_is_complete() -> None:
    told = {name for row in ROWS for name in re.findall(r"`((?:TAKARO|BRIDGE)_\w+)`", row[0])}
    assert told == set(SHORT_NAMES)


def test_the_first_start_prints_what_the_readme_shows(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    up.write_first(path)
    settings = load(path, {"RELAY_INSTANCE__0__MOD_KEYS": "example-key-yours-is-different"}).settings
    printed = [up.what_to_do(Path("relay.toml"), settings), *banner(settings)]
    assert "\n".join(printed) in FIRST_SERVER


@pytest.mark.parametrize(
    "command",
    [
        *("up", "modapi", "uplink", "agent", "check", "import", "demo", "sim mod", "sim takaro"),
        *("status", "doctor", "tail", "players", "say", "completion"),
        *(f"dlq {action}" for action in ("list", "show", "retry", "drop")),
        *(f"instance {action}" for action in ("add", "list", "rotate", "disable", "enable", "remove")),
    ],
)
def test_every_command_is_in_the_readme_and_exists(command: str) -> None:
    assert any(f"`dayz-relay {command}" in row[0] for row in ROWS)
    assert main([*command.split(), "--help"]) == 0
