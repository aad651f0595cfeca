"""Pages that come from the code are up to date, and what they add to it is complete."""

import re

from docs import api, commands, metrics, repeated, settings
from services.relay.service.settings import KEYS
from tests.docs.pages import ROOT, blocks, rows

SERVICES = ROOT / "services"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run `make docs`"


def test_the_page_of_commands_is_up_to_date() -> None:
    assert commands.PAGE.read_text(encoding="utf-8") == commands.page(), "run `make docs`"
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run `make docs`"


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert metrics.PAGE.read_text(encoding="utf-8") == metrics.page(), "run `make docs`"


def test_the_version_and_the_address_of_the_repository_stand_once_and_are_repeated() -> None:
    for path, text in repeated.files().items():
        assert path.read_text(encoding="utf-8") == text, "run `make docs`"
    cloned = {block.page for block in blocks() if "git clone" in block.text}
    assert cloned <= repeated.PLACES.keys()


def test_every_setting_has_a_meaning() -> None:
    assert {section: set(of) for section, of in settings.MEANINGS.items()} == {
        section: set(keys) for section, keys in KEYS.items()
    }
    assert settings.TITLES.keys() == KEYS.keys()


def test_every_module_that_the_protocol_names_is_there() -> None:
    facts = [cells for cells in rows(ROOT / "docs" / "protocol.md") if len(cells) == 4]
    files = [name for cells in facts for name in re.findall(r"`([\w/]+\.\w+)`", cells[3])]
    assert len(files) > 100
    assert [name for name in files if not (SERVICES / name).is_file()] == []
