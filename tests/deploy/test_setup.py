"""./setup.sh: what it makes of a fresh copy, and that it loses nothing of an old one."""

import os
import pty
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from services.relay.instances.mod_config import mod_config
from tests.deploy.compose import ROOT

SECRETS = {"redis_password", "admin_token", "grafana_password", "identity_token", "mod_key"}
"""Those that are made up."""

OLD = """\
# mine
REDIS_PASSWORD=letters123
RELAY_MODAPI__ADMIN_TOKEN="admin-token-0123456789"
TAKARO_REGISTRATION_TOKEN=registration   # of the dashboard
TAKARO_SERVER_NAME='My server'
TAKARO_IDENTITY_TOKEN='identity of old'
RELAY_INSTANCE__0__MOD_KEYS=mod-key-0123456789
MODS_ADDRESS=0.0.0.0:8099
#ADMIN_ADDRESS=127.0.0.1:9088
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("setup.sh", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def setup(folder: Path, **environ: str) -> str:
    return subprocess.run(
        [folder / "setup.sh"],
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def at_a_terminal(folder: Path, *answers: str) -> str:
    """What a person sees who types `answers`, and then only Enter."""
    master, terminal = pty.openpty()
    os.write(master, "".join(f"{answer}\n" for answer in (*answers, "", "", "")).encode())
    with os.fdopen(master, "rb"), os.fdopen(terminal, "rb") as stdin:
        return subprocess.run(
            [folder / "setup.sh"],
            env={"PATH": os.environ["PATH"]},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout


def secrets(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_a_fresh_copy_gets_secrets_that_nobody_can_guess(copy: Path) -> None:
    told = setup(copy, TAKARO_SERVER_NAME="My server", TAKARO_REGISTRATION_TOKEN="registration")
    made = secrets(copy)
    assert made.keys() == SECRETS | {"registration_token", "discord_url"}
    assert (made["registration_token"], made["discord_url"]) == ("registration", "")
    assert all(len(made[name]) == 32 for name in SECRETS) and len({made[name] for name in SECRETS}) == 5
    assert "    My server\n" in told
    assert mod_config("http://127.0.0.1:8088", made["mod_key"]) in told, "as `make up` prints it"
    assert (copy / "config").is_dir() and (copy / "backups").is_dir()


def test_only_its_owner_reads_the_secrets_and_each_container_does(copy: Path) -> None:
    setup(copy)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir()}
    closed = {"secrets": 0o700, "backups": 0o700, ".env": 0o600}
    assert modes.items() >= (closed | {"config": 0o755}).items()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (copy / "secrets").iterdir()} == {0o644}


def test_a_second_run_changes_nothing(copy: Path) -> None:
    setup(copy, TAKARO_SERVER_NAME="It's mine", TAKARO_REGISTRATION_TOKEN="registration")
    before = secrets(copy), (copy / ".env").read_text()
    told = setup(copy)
    assert "    It's mine\n" in told
    assert "Kept: .env, secrets, config, backups.\n" in told and "Made:" not in told
    assert (secrets(copy), (copy / ".env").read_text()) == before


@pytest.mark.parametrize(
    "line, becomes",
    [
        ("MODS_ADDRESS=[2001:db8::5]", "MODS_ADDRESS=[2001:db8::5]"),
        ("MODS_ADDRESS=10.0.0.5 # since 10:30", "MODS_ADDRESS=10.0.0.5 # since 10:30"),
        ("ADMIN_ADDRESS=[::1]:9188", "ADMIN_ADDRESS=[::1]\nADMIN_PORT=9188"),
        ("MODS_ADDRESS='0.0.0.0:8099'", "MODS_ADDRESS=0.0.0.0\nMODS_PORT=8099"),
        ("MODS_ADDRESS=0.0.0.0:8099  # since 10:30", "MODS_ADDRESS=0.0.0.0\nMODS_PORT=8099  # since 10:30"),
    ],
)
def test_an_address_with_a_port_becomes_two_lines_and_any_other_stays(
    copy: Path, line: str, becomes: str
) -> None:
    (copy / ".env").write_text(f"{line}\n")
    setup(copy)
    assert (copy / ".env").read_text() == f"{becomes}\n"


def test_existing_files_are_kept_and_missing_ones_are_made(copy: Path) -> None:
    (copy / "config").mkdir()
    told = setup(copy, TAKARO_SERVER_NAME="My server")
    assert "Kept: config.\nMade: .env, secrets, backups.\n" in told
    told = setup(copy, TAKARO_REGISTRATION_TOKEN="registration")
    assert "Made: secrets/registration_token.\n" in told and "it takes the new secrets with:" in told


def test_a_token_for_later_has_a_file_and_a_command(copy: Path) -> None:
    later = "secrets/registration_token; if the relay runs already, then also:\n    docker compose restart\n"
    assert later in setup(copy, TAKARO_SERVER_NAME="My server")
    assert later not in setup(copy, TAKARO_REGISTRATION_TOKEN="registration")


def test_at_a_terminal_setup_asks_again_for_an_impossible_value(copy: Path) -> None:
    told = at_a_terminal(
        copy, "ab", "Müller's", "https://a", "wss://takaro.example.org/", "two words", "token"
    )
    for complaint in ("That has 2 characters", "begins with wss:// or ws://", "A token has no white space"):
        assert complaint in told
    assert (copy / ".env").read_text().count("\nTAKARO_SERVER_NAME='Müller\\'s'\n") == 1
    assert (copy / ".env").read_text().count("\nRELAY_TAKARO__URL='wss://takaro.example.org/'\n") == 1
    assert secrets(copy)["registration_token"] == "token"


def test_a_name_has_50_characters_and_not_50_bytes(copy: Path) -> None:
    assert "ü" * 50 in setup(copy, TAKARO_SERVER_NAME="ü" * 50)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("TAKARO_SERVER_NAME=Cash $hop", "Compose replaces what follows a $"),
        ('TAKARO_SERVER_NAME="Cash $hop"', "Compose replaces what follows a $"),
        ("TAKARO_SERVER_NAME=ab", "This name does not do. That has 2 characters"),
        ("TAKARO_SERVER_NAME='Cash $hop'", ""),
    ],
)
def test_setup_warns_of_a_name_that_the_relay_would_get_changed(copy: Path, line: str, said: str) -> None:
    (copy / ".env").write_text(f"{line}\n")
    told = setup(copy).partition("change it in .env now:\n")[2].partition("\n\nPut this")[0]
    assert said in told and (said or told.strip() == "Cash $hop")


def test_the_address_of_takaro_is_asked_for_before_its_token(copy: Path) -> None:
    told = at_a_terminal(copy, "My server")
    assert told.index("your own Takaro's connector") < told.index("Takaro's registration token:")
    assert "#RELAY_TAKARO__URL=" in (copy / ".env").read_text(), "Enter: Takaro's cloud"


def test_an_address_of_takaro_that_is_known_is_not_asked_for(copy: Path) -> None:
    setup(copy, RELAY_TAKARO__URL="ws://takaro.example.org/")
    assert "RELAY_TAKARO__URL='ws://takaro.example.org/'\n" in (copy / ".env").read_text()
    assert "your own Takaro's connector" not in at_a_terminal(copy, "My server")


@pytest.mark.parametrize(
    "wrong",
    [
        {"TAKARO_SERVER_NAME": "ab"},
        {"TAKARO_SERVER_NAME": "    "},
        {"TAKARO_REGISTRATION_TOKEN": "two words"},
        {"RELAY_TAKARO__URL": "https://takaro.example.org"},
    ],
    ids=str,
)
def test_without_a_terminal_a_wrong_value_ends_setup(copy: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        setup(copy, **wrong)
    assert failed.value.stderr.startswith(next(iter(wrong)) + ": ")


def test_an_env_that_compose_cannot_read_is_refused_and_left_as_it_is(copy: Path) -> None:
    written = "TAKARO_SERVER_NAME=From PowerShell\r\n".encode("utf-16")
    (copy / ".env").write_bytes(written)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        setup(copy)
    assert "save it as UTF-8" in failed.value.stderr
    assert (copy / ".env").read_bytes() == written


def test_without_a_terminal_and_values_setup_says_what_to_fill_in(copy: Path) -> None:
    told = setup(copy)
    assert "write TAKARO_SERVER_NAME into .env" in told and "run ./setup.sh again" in told
    assert "Start the relay" not in told
    assert "Start the relay" in at_a_terminal(copy), "the status page can add servers"


def test_a_setting_that_no_container_gets_is_named(copy: Path) -> None:
    (copy / ".env").write_text(OLD + "RELAY_LIMITS__OPEN_COMMANDS=9\nRELAY_TAKARO__URL=ws://takaro/\n")
    told = setup(copy)
    assert "RELAY_LIMITS__OPEN_COMMANDS of .env is not used" in told and told.count("is not used") == 1


def test_settings_beside_the_server_of_env_leave_it_there(copy: Path) -> None:
    (copy / "config").mkdir()
    (copy / "config" / "relay.toml").write_text("[limits]\nopen_commands = 9\n")
    assert "    My server\n" in setup(copy, TAKARO_SERVER_NAME="My server")


@pytest.mark.parametrize("relay_toml", [True, False])
def test_without_a_name_there_is_no_server(copy: Path, relay_toml: bool) -> None:
    if relay_toml:
        (copy / "config").mkdir()
        (copy / "config" / "relay.toml").write_text("[[instance]]\n")
    told = setup(copy, **({"TAKARO_SERVER_NAME": "not asked for"} if relay_toml else {}))
    made = secrets(copy)
    assert (made["identity_token"], made["mod_key"]) == ("", "") and made["redis_password"]
    assert "TakaroApiUrl" not in told


def test_the_secrets_of_an_old_env_move_and_its_addresses_get_ports(copy: Path) -> None:
    (copy / ".env").write_text(OLD)
    setup(copy)
    made = secrets(copy)
    assert len(made.pop("grafana_password")) == 32
    assert made == {
        "redis_password": "letters123",
        "admin_token": "admin-token-0123456789",
        "registration_token": "registration",
        "identity_token": "identity of old",
        "mod_key": "mod-key-0123456789",
        "discord_url": "",
    }
    assert (copy / ".env").read_text().splitlines() == [
        "# mine",
        "TAKARO_SERVER_NAME='My server'",
        "MODS_ADDRESS=0.0.0.0",
        "MODS_PORT=8099",
        "#ADMIN_ADDRESS=127.0.0.1:9088",
    ]


def test_setup_prints_the_ports_and_the_address_of_env(copy: Path) -> None:
    (copy / ".env").write_text("TAKARO_SERVER_NAME='My server'\nMODS_PORT=8099\nADMIN_PORT=9099\n")
    told = setup(copy)
    assert "http://127.0.0.1:8099/k/" in told and "http://127.0.0.1:9099/" in told
    with (copy / ".env").open("a") as file:
        file.write("RELAY_MODAPI__PUBLIC_URL=https://relay.example.org\n")
    assert "https://relay.example.org/k/" in setup(copy)


def test_of_two_values_of_one_secret_none_is_lost(copy: Path) -> None:
    setup(copy)
    with (copy / ".env").open("a") as file:
        file.write("REDIS_PASSWORD=another\n")
    assert "REDIS_PASSWORD of .env is not used" in setup(copy)
    assert "REDIS_PASSWORD=another" in (copy / ".env").read_text()


def test_git_ignores_the_files_of_setup_and_backups() -> None:
    names = [".env", "secrets/admin_token", "config/relay.toml", "backups/redis-1.tar.gz", "redis.tar.gz"]
    ignored = subprocess.run(
        ["git", "-C", ROOT, "check-ignore", *names], capture_output=True, text=True
    ).stdout
    assert ignored.splitlines() == names
