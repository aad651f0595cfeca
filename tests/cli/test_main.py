"""The words of `dayz-relay` and what it ends with."""

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup

from services.cli import up
from services.cli.main import main
from services.cli.supervisor import services
from services.cli.terminal import print_json
from services.relay.service.settings import load
from services.sim.dayz.generations import Generation
from tests.support.command_line import COMMANDS, parsed


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A first relay.toml in the working folder, nothing of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "relay.toml"
    up.write_first(path)
    return path


def test_check_shows_the_settings_without_their_secrets(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_REDIS__URL", "redis://:hunter2@127.0.0.1:6379/0")
    assert main(["check"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "ok"
    assert '[[instance]]\nslug = "main"\nname = "My DayZ server"\nidentity_token = "set (32 ch' in shown
    assert 'url = "redis://:***@127.0.0.1:6379/0"' in shown
    assert "# registration_token is not set" in shown
    (instance,) = load(config, {}).settings.instances
    for secret in (instance.identity_token, *instance.mod_keys):
        assert secret.get_secret_value() not in shown


def test_check_prints_the_settings_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text() + "\n[uplink]\nadmin_prot = 1\n")
    assert main(["check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["modapi"]["port"] == 8088 and told["settings"]["instance"][0]["slug"] == "main"
    assert "admin_prot: unknown key" in told["warnings"][0]
    assert told["settings"]["instance"][0]["identity_token"].startswith("set (")


def test_check_names_unknown_keys_and_succeeds(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text() + "\n[uplink]\nadmin_prot = 1\n")
    assert main(["check", "--config", str(config)]) == 0
    assert f"warning: {config}, [uplink], admin_prot: unknown key" in capsys.readouterr().out


def test_a_letter_that_the_output_cannot_take_is_escaped(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a pipe or a file has a code page."""
    config.write_text(config.read_text().replace("My DayZ server", "Müller 🎮"), "utf-8")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252"))
    assert main(["check"]) == 0
    print_json({"name": "Müller 🎮"})
    said, _, json_text = written.getvalue().decode("cp1252").partition("\nok")
    assert 'name = "Müller \\U0001f3ae"' in said
    assert json.loads(json_text) == {"name": "Müller 🎮"}


@pytest.mark.parametrize("command", ["check", "modapi", "uplink", "up"])
def test_a_wrong_setting_is_a_line_on_standard_error_and_exit_code_2(
    command: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace("8088", "88088").replace("My DayZ server", "My"))
    assert main([command, "--config", str(config)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"dayz-relay: {config}, [modapi], port: must be a port number from 0 to 65535 (0: any free port)",
        f"dayz-relay: {config}, [[instance]] number 1, name: must have 3 to 50 characters, "
        "Takaro takes no other name",
    ]


@pytest.mark.parametrize("command", ["check", "modapi", "uplink"])
def test_only_up_runs_without_a_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    assert capsys.readouterr().err == (
        "dayz-relay: relay.toml: does not exist: `dayz-relay up` writes a first one\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sim mod --url 127.0.0.1:8088/k/key", "must be as http://127.0.0.1:8088/k/<mod key>"),
        ("sim mod --url http://[x", "must be as http://127.0.0.1:8088/k/<mod key>"),
        (
            "sim mod --url http://127.0.0.1:8088/k/key --players 0",
            "'--players': must be greater than or equal to 1",
        ),
        ("sim mod --url http://127.0.0.1:8088/k/key --rate 0", "'--rate': must be greater than"),
        ("sim takaro --registration-token a --port 99999", "'--port': must be less than"),
        ("demo --seconds -1", "'--seconds': must be greater than or equal to 0"),
        ("token new --kind key", "'--kind': 'key' is not one of 'mod-key'"),
    ],
)
def test_an_impossible_value_is_named_with_its_option(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert said in " ".join(capsys.readouterr().err.split())


LOCAL = {
    "agent",
    "check",
    "completion",
    "demo",
    "help",
    "import",
    "modapi",
    "sim",
    "token",
    "up",
    "uplink",
    "version",
}
"""Commands that work at no relay."""


def test_each_command_that_works_at_a_relay_can_answer_as_json() -> None:
    assert isinstance(COMMANDS, TyperGroup)
    at_relays = {name: one for name, one in COMMANDS.commands.items() if name not in LOCAL}
    for name, one in list(at_relays.items()):
        if isinstance(one, TyperGroup):
            del at_relays[name]
            at_relays |= {f"{name} {word}": command for word, command in one.commands.items()}
    assert {"status", "context use"} <= at_relays.keys()
    without = [
        words for words, one in at_relays.items() if not any("--json" in option.opts for option in one.params)
    ]
    assert without == []


def test_the_help_of_a_group_cuts_no_description(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["context", "--help"]) == 0
    said = capsys.readouterr().out
    assert (
        "local: the one of relay.toml" in " ".join(said.split()) and "..." not in said.partition("--help")[2]
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_of_the_output_is_reported_in_one_line(tmp_path: Path, unbuffered: str) -> None:
    argv = [sys.executable, "-P", "-m", "services.cli", "check"]
    environ = {
        **os.environ,
        "TAKARO_SERVER_NAME": "My server",
        "TAKARO_IDENTITY_TOKEN": "identity-0123456789",
        "PYTHONUNBUFFERED": unbuffered,
    }
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, cwd=tmp_path, env=environ, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "dayz-relay: the output cannot be written: No space left on device\n" in done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_an_output_that_nobody_reads_any_more_ends_a_command_silently_on_windows_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.FileIO):
        encoding = "utf-8"

        def write(self, _: object) -> int:
            raise OSError(errno.EINVAL, "Invalid argument")

    with Closed(tmp_path / "output", "w") as output:
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(sys, "platform", "win32")
        assert main(["version"]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a child there has no numbered files to close")
@pytest.mark.parametrize(
    ("closed", "command", "code"),
    [
        (0, ["dlq", "drop", "a", "--all", "--url", "http://127.0.0.1:1"], 2),  # it would ask
        (1, ["check", "--json"], 0),
        (2, ["check", "--json"], 0),
    ],
)
def test_a_closed_input_or_output_ends_no_command(
    tmp_path: Path, closed: int, command: list[str], code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services.cli", *command],
        cwd=tmp_path,
        env=os.environ | {"TAKARO_SERVER_NAME": "My server", "TAKARO_IDENTITY_TOKEN": "identity-0123456789"},
        stdout=None if closed == 1 else subprocess.PIPE,
        stderr=None if closed == 2 else subprocess.PIPE,
        preexec_fn=lambda: os.close(closed),
        text=True,
    )
    assert done.returncode == code
    assert "Traceback" not in (done.stderr or "")
    assert closed != 2 or code or json.loads(done.stdout)


def test_no_file_is_needed_where_the_environment_describes_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAKARO_SERVER_NAME", "My server")
    monkeypatch.setenv("TAKARO_IDENTITY_TOKEN", "identity")
    assert main(["check"]) == 0
    assert 'name = "My server"' in capsys.readouterr().out
    assert not (tmp_path / "relay.toml").exists()


@pytest.mark.parametrize(
    "argv",
    [["--version"], ["-V"], ["version"], ["--help"], ["help"], ["up", "--help"], ["help", "dlq", "show"]],
)
def test_asking_for_help_is_no_error(argv: list[str]) -> None:
    assert main(argv) == 0


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["up", "--nonsense"], ["demo", "--seconds", "x"]])
def test_an_unknown_word_is_exit_code_2(argv: list[str]) -> None:
    assert main(argv) == 2


def test_the_bare_command_shows_all_commands_by_subject(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = capsys.readouterr().err
    titles = ("To run it:", "To look at it:", "Servers:", "To try it:", "Help:")
    assert [line for line in shown.splitlines() if line in titles] == list(titles)
    for name in COMMANDS.commands:
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("argv", "guess"),
    [
        (["statsu"], "Did you mean 'status'?"),
        (["instance", "ad"], "Did you mean 'add'?"),
        (["status", "--jsn"], "--json"),
    ],
)
def test_a_typo_gets_a_guess(argv: list[str], guess: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert guess in capsys.readouterr().err


def test_help_shows_examples_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--help"])
    shown = capsys.readouterr().out
    assert "    dayz-relay status --json | jq -r '.[] | select(.state == \"down\") | .slug'\n" in shown


@pytest.mark.parametrize("module", ["rich", "httpx", "pydantic_settings", "redis"])
def test_help_does_not_wait_for_modules_that_only_commands_need(module: str) -> None:
    """Loading these takes longer than `--help` may."""
    code = (
        f"import sys; from services.cli.main import main; main(['--help']); print({module!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_the_module_is_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "services.cli", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout.split()[0]) == (0, "dayz-relay")


def test_the_services_get_the_store_by_their_environment() -> None:
    programs = services(
        Path("relay.toml"), {"RELAY_REDIS__URL": "", "OTHER": "kept"}, "unix:///run/valkey.sock"
    )
    assert [program.name for program in programs] == ["modapi", "uplink"]
    for program in programs:
        assert program.environ == {"RELAY_REDIS__URL": "unix:///run/valkey.sock", "OTHER": "kept"}
        assert not any("valkey" in argument for argument in program.argv)


def test_the_generations_on_offer_are_those_of_the_simulator() -> None:
    for generation in Generation:
        argv = ["sim", "mod", "--url", "http://127.0.0.1:1", "--generation", generation]
        assert parsed(argv)["generation"] == generation


@pytest.mark.parametrize("kind", ["mod-key", "identity", "admin"])
def test_a_new_token_is_strong_and_alone_on_standard_output(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = set()
    for _ in range(3):
        assert main(["token", "new", "--kind", kind]) == 0
        shown = capsys.readouterr()
        (token,) = shown.out.split()
        made.add(token)
        assert len(token) == 43 and token.replace("-", "").replace("_", "").isalnum()
        assert "relay.toml" in shown.err and token not in shown.err
    assert len(made) == 3


def test_check_names_a_file_that_others_can_read_and_an_identity_that_can_be_guessed(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_INSTANCE__0__IDENTITY_TOKEN", "My DayZ server")
    config.chmod(0o644)
    assert main(["check"]) == 0
    shown = capsys.readouterr().out
    assert "warning: relay.toml: others on this machine can read it (mode 0644)" in shown
    assert "warning: main: its identity_token is just the server's name" in shown


@pytest.mark.parametrize("command", ["check", "modapi", "up", "status", "doctor", "import"])
def test_an_unreadable_folder_is_reported_in_one_line(
    command: str, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refused(path: Path, **more: bool) -> os.stat_result:
        if path.name == config.name:
            raise PermissionError(13, "Permission denied")
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setenv("TAKARO_SERVER_NAME", "My server")  # what `import` takes over
    assert main([command, "--config", str(config)]) == 2
    assert capsys.readouterr().err == (
        f"dayz-relay: {config}: cannot be looked at: Permission denied: user {os.getuid()} must have the"
        " right to enter its folder\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are something else there")
@pytest.mark.parametrize("command", ["check", "modapi", "up", "status", "doctor"])
def test_settings_that_this_user_may_not_read_are_a_line_with_the_fix(
    command: str, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "access", lambda *_: False)  # what Typer asks; root may read everything
    monkeypatch.setattr(Path, "read_bytes", refused)
    assert main([command, "--config", str(config)]) == 2
    user = os.getuid()
    assert capsys.readouterr().err == (
        f"dayz-relay: {config}: cannot be read: Permission denied: it must be readable for user {user},"
        f" as after `sudo chown {user} relay.toml`\n"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_the_file_of_an_old_bridge_is_read_as_notepad_saves_it(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("TakaroConfig.txt").write_text("serverName=Привет\r\nidentityToken=abc\r\n", encoding=encoding)
    assert main(["import", "TakaroConfig.txt"]) == 0
    (instance,) = load(tmp_path / "relay.toml", {}).settings.instances
    assert (instance.name, instance.identity_token.get_secret_value()) == ("Привет", "abc")


def test_an_import_does_not_append_to_a_file_in_another_encoding(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(config.read_text(), encoding="utf-16")
    before = config.read_bytes()
    monkeypatch.setenv("TAKARO_SERVER_NAME", "My server")
    assert main(["import", "--config", str(config)]) == 2
    assert "is UTF-16 text: save it as UTF-8 first" in capsys.readouterr().err
    assert config.read_bytes() == before
