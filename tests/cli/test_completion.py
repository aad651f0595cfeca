"""A real bash completes the commands as they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.at_relay import LOCATING
from services.cli.main import main


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """For a bash that finds `dayz-relay`."""
    program = tmp_path / "dayz-relay"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out)
    return path


def completed(script: Path, *typed: str) -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in ("dayz-relay", *typed))
    asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(typed)}; _dayz_relay_completion dayz-relay"
    run = f'source "{script}"; {asked}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("stat",), {"status"}),
        (("dlq", ""), {"list", "show", "retry", "drop"}),
        (("dlq", "retry", "main", "--"), {"--help", "--all", "--json", *LOCATING}),
        (("tail", "main", "--type", "player-d"), {"player-disconnected", "player-death"}),
        (("sim", ""), {"mod", "takaro"}),
        (("sim", "mod", "--generation", ""), {"flat", "mixed", "scanner"}),
        (("completion", ""), {"bash", "zsh", "fish", "powershell", "pwsh", "slugs"}),
        (("modapi", "--"), {"--help", "--config"}),  # not --warned, which nobody types
    ],
)
def test_completion_offers_the_words_that_can_follow(
    script: Path, typed: tuple[str, ...], offered: set[str]
) -> None:
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
        (("status", "--url", "http://127.0.0.1:1", ""), set()),
        (("status", "--config", ""), set()),  # none of ours: bash offers files
        (("instance", "add", "x", "--identity-token-file", ""), set()),
    ],
)
def test_completion_offers_the_servers_that_exist(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], offered: set[str]
) -> None:
    blocks = (
        f'[[instance]]\nslug = "{slug}"\nname = "Server {slug}"\nidentity_token = "identity-of-{slug}-0123"\n'
        f'mod_keys = ["mod-key-of-{slug}-0123"]\n'
        for slug in ("chernarus", "livonia")
    )
    (tmp_path / "relay.toml").write_text("".join(blocks))
    monkeypatch.setenv("DAYZ_RELAY_CONFIG", str(tmp_path / "relay.toml"))
    assert set(completed(script, *typed)) == offered


def test_without_settings_no_server_and_no_error_is_offered(script: Path) -> None:
    assert completed(script, "status", "--config", "/nowhere/relay.toml", "") == []


def test_a_home_where_nothing_can_be_installed_is_named(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.touch()
    # Typer installs for the shell that the command was typed in. A second command keeps bash as the parent.
    asked = f'"{sys.executable}" -m services.cli --install-completion; exit $?'
    done = subprocess.run(
        ["bash", "-c", asked],
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done
    assert (
        f"--install-completion: {home} cannot be written (File exists): `dayz-relay completion`"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o default -F _dayz_relay_completion dayz-relay"),
        ("zsh", "compdef _dayz_relay_completion dayz-relay"),
        ("fish", "complete --command dayz-relay"),
        ("powershell", "Register-ArgumentCompleter -Native -CommandName dayz-relay"),
    ],
)
def test_there_is_a_script_for_each_shell(shell: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert line in script
    if shell != "bash" and shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, timeout=60, check=True)
