"""A real bash completes the commands as they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.main import main


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out)
    return path


def completed(script: Path, *typed: str) -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in ("dayz-relay", *typed))
    asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(typed)}; _dayz_relay"
    run = f'source "{script}"; {asked}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("stat",), {"status"}),
        (("dlq", ""), {"list", "show", "retry", "drop", "--help"}),
        (("dlq", "retry", "main", "--"), {"--help", "--all", "--config", "--data"}),
        (("tail", "main", "--type", "player-d"), {"player-disconnected", "player-death"}),
        (("sim", ""), {"mod", "takaro", "--help"}),
        (("completion", ""), {"bash", "zsh", "slugs", "--help", "--config", "--data"}),
        (("modapi", "--"), {"--help", "--config"}),  # not --warned, which nobody types
    ],
)
def test_it_offers_what_can_follow(script: Path, typed: tuple[str, ...], offered: set[str]) -> None:
    assert set(completed(script, *typed)) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("status", "ch"), {"chernarus"}),
        (("tail", "chernarus", "l"), {"livonia"}),
        (("dlq", "drop", "liv"), {"livonia"}),
        (("instance", "remove", "c"), {"chernarus"}),
        (("doctor", "--identify", ""), {"chernarus", "livonia"}),
        (("instance", "add", "c"), set()),
        (("status", "--config", ""), set()),  # none of ours: bash offers files
        (("instance", "add", "x", "--identity-token-file", ""), set()),
    ],
)
def test_it_offers_the_servers_that_there_are(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], offered: set[str]
) -> None:
    blocks = (
        f'[[instance]]\nslug = "{slug}"\nname = "Server {slug}"\nidentity_token = "identity-of-{slug}-0123"\n'
        f'mod_keys = ["mod-key-of-{slug}-0123"]\n'
        for slug in ("chernarus", "livonia")
    )
    (tmp_path / "relay.toml").write_text("".join(blocks))
    program = tmp_path / "dayz-relay"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DAYZ_RELAY_CONFIG", str(tmp_path / "relay.toml"))
    assert set(completed(script, *typed)) == offered


def test_the_one_for_zsh_loads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert "bashcompinit" in script and "complete -o default -F _dayz_relay dayz-relay" in script
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, timeout=30, check=True)
