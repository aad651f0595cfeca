"""Every setting that a file of deploy/ names exists."""

import re
from pathlib import Path

import pytest

from services.relay.service.settings_names import SHORT_NAMES
from services.relay.service.settings_sources import read
from tests.deploy.compose import ROOT

FILES = [
    ROOT / "docker-compose.yml",
    ROOT / ".env.example",
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".pyc"),
]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_every_variable_named_is_one_of_ours(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"\bRELAY_[A-Z0-9_]*[A-Z0-9]", text))
    assert read(None, dict.fromkeys(named, "x"))[1].warnings == []
    assert set(re.findall(r"\bTAKARO_[A-Z0-9_]*[A-Z0-9]", text)) <= set(SHORT_NAMES)


def test_an_unknown_variable_would_be_found() -> None:
    assert read(None, {"RELAY_REDIS__URI": "x"})[1].warnings
