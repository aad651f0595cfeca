"""`dayz-relay instance …` as a person types it, on a real store."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli import store_socket
from services.cli.banner import banner
from services.relay.instances.records import digest_of
from services.relay.service.settings import Settings
from tests.support.redis_server import RedisServer, binaries

FILE = """\
[redis]
url = "{url}"
[[instance]]
slug = "of-file"
name = "Of the file"
identity_token = "identity-of-file"
mod_keys = ["key-of-the-file-0123"]
"""


class Terminal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *argv: str, code: int = 0, given: str = "") -> str:
        """What a command prints, to either stream; it must end with `code`."""
        clean = {n: t for n, t in os.environ.items() if not n.startswith(("RELAY_", "TAKARO_"))}
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *argv],
            cwd=self.folder,
            env={**clean, "PYTHONPATH": str(Path(__file__).parents[2])},
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )
        text = done.stdout + done.stderr
        assert done.returncode == code and "Traceback" not in text, text
        return text

    def json(self, *argv: str, **more: Any) -> Any:
        return json.loads(self.run(*argv, "--json", **more))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    server = RedisServer(binaries()["valkey"])
    server.start()
    (tmp_path / "relay.toml").write_text(FILE.format(url=server.url))
    yield Terminal(tmp_path)
    server.remove()


def test_the_identity_token_is_shown_to_who_adds_a_server(terminal: Terminal) -> None:
    said = terminal.run("instance", "add", "kept", "--name", "Kept")
    assert "Keep it with your backups" in said and len(said.splitlines()[-1]) >= 43


def test_a_name_that_another_server_has_is_told_to_who_adds_it(terminal: Terminal) -> None:
    assert "same name" not in terminal.run("instance", "add", "one", "--name", "Server one")
    said = terminal.run("instance", "add", "two", "--name", "Server one")
    assert "dayz-relay: warning: two: one has the same name" in said
    assert "same name" not in terminal.run("instance", "add", "three", "--name", "Server three")


def test_a_program_that_adds_a_server_hears_it_as_well_and_so_does_who_enables_one(
    terminal: Terminal,
) -> None:
    added = terminal.json("instance", "add", "one", "--name", "Server one")
    assert added["warnings"] == []
    terminal.run("instance", "disable", "one")
    assert "same name" not in terminal.run("instance", "add", "two", "--name", "Server one")
    assert "dayz-relay: warning: one: two has the same name" in terminal.run("instance", "enable", "one")


def test_a_server_is_added_shown_given_a_new_key_disabled_and_removed(terminal: Terminal) -> None:
    said = terminal.run("instance", "add", "one", "--name", "Server one")
    (key,) = set(re.findall(r"/k/([\w-]+)", said))
    assert f'"RegistrationToken": "{key}"' in said and "no Takaro registration token" in said

    said = terminal.run("instance", "list")
    head, of_file, one = said.splitlines()
    assert head.index("FROM") == of_file.index("relay.toml") == one.index("Redis")
    assert key not in said and digest_of(key) not in said and "identity-of-file" not in said

    said = terminal.run("instance", "rotate", "one", "--overlap-h", "2")
    assert "opens for 2 h more" in said and key not in said
    said = terminal.run("instance", "rotate", "one", code=1)
    assert "one has a new key already" in said and "--force" in said
    terminal.run("instance", "rotate", "one", "--force")
    terminal.run("instance", "disable", "one")
    views = {view["slug"]: view for view in terminal.json("instance", "list")}
    assert len(views["one"]["mod_keys"]) == 2 and views["one"]["disabled"]
    assert (views["of-file"]["origin"], views["one"]["origin"]) == ("relay.toml", "api")
    terminal.run("instance", "enable", "one")
    assert "in 24 hours" in terminal.run("instance", "remove", "one")
    assert [view["slug"] for view in terminal.json("instance", "list")] == ["of-file"]


def test_a_server_gets_another_name_and_a_token_of_its_own(terminal: Terminal) -> None:
    terminal.run("instance", "add", "one", "--name", "Server one")
    assert "none" in terminal.run("instance", "show", "one").splitlines()[-1]
    assert "same name" in terminal.run("instance", "set", "one", "--name", "Of the file")
    (terminal.folder / "token").write_text("a-registration-token")
    argv = ("instance", "set", "one", "--name", "Another name")
    said = terminal.run(*argv, "--registration-token-file", "token")
    assert "one has a new name and registration token" in said
    view = terminal.json("instance", "show", "one")
    assert (view["name"], view["has_registration_token"]) == ("Another name", True)
    assert "nothing is to be changed" in terminal.run("instance", "set", "one", code=2)


def test_the_config_of_a_mod_is_shown_again_and_its_key_where_it_is_known(terminal: Terminal) -> None:
    added = terminal.json("instance", "add", "one", "--name", "Server one")
    said = terminal.run("instance", "config", "one")
    assert (
        "/k/<mod key>" in said and "dayz-relay instance rotate one" in said and added["mod_key"] not in said
    )
    assert "/k/key-of-the-file-0123" in terminal.run("instance", "config", "of-file")
    told = terminal.json("instance", "config", "of-file")
    assert json.loads(told["mod_config"])["RegistrationToken"] == "key-of-the-file-0123"


def test_a_script_deletes_the_data_of_a_server_only_if_it_says_that_it_means_it(terminal: Terminal) -> None:
    terminal.run("instance", "add", "one", "--name", "Server one")
    assert "add --yes" in terminal.run("instance", "remove", "one", "--purge", code=2)
    assert len(terminal.json("instance", "list")) == 2
    assert "deleted now" in terminal.run("instance", "remove", "one", "--purge", "--yes")


def test_tokens_come_from_files_or_standard_input(terminal: Terminal) -> None:
    (terminal.folder / "token").write_text("a-registration-token\n")
    argv = ("instance", "add", "one", "--name", "Server one", "--registration-token-file", "token")
    added = terminal.json(*argv, "--identity-token-file", "-", given="an-identity\n")
    assert added["identity_token"] == "an-identity" and len(added["mod_key"]) >= 43
    (view,) = [view for view in terminal.json("instance", "list") if view["slug"] == "one"]
    assert view["has_registration_token"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("rotate", "nobody"), 1, "there is no instance nobody"),
        (("remove", "of-file"), 1, "of-file is defined in relay.toml: change it there"),
        (("add", "of-file", "--name", "abc"), 1, "of-file is defined in relay.toml"),
        (("set", "of-file", "--name", "abc"), 1, "of-file is defined in relay.toml: change it there"),
        (("set", "nobody", "--name", "abc"), 1, "there is no instance nobody"),
        (("show", "nobody"), 1, "there is no instance nobody"),
        (("set", "of-file", "--name", "x"), 2, "--name: must have 3 to 50 characters"),
        (("add", "Bad", "--name", "abc"), 2, "slug: must be 1 to 63 of a-z"),
        (("add", "one", "--name", "x"), 2, "--name: must have 3 to 50 characters"),
        (("add", "one", "--name", "abc", "--identity-token-file", "none"), 2, "none cannot be read"),
    ],
)
def test_a_refusal_is_one_line(terminal: Terminal, argv: tuple[str, ...], code: int, words: str) -> None:
    said = terminal.run("instance", *argv, code=code)
    assert said.startswith("dayz-relay: ") and words in said and len(said.splitlines()) == 1


def test_the_store_of_a_running_relay_is_found_through_its_folder(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(FILE.partition("[[")[2].join(("[[", "")))
    terminal = Terminal(tmp_path)
    said = terminal.run("instance", "list", code=2)
    assert "no relay runs there" in said
    data = tmp_path / "data"
    data.mkdir()
    server = RedisServer(binaries()["valkey"], unixsocket=str(store_socket.socket_path(data)))
    server.socket = store_socket.socket_path(data)
    server.start()
    try:
        terminal.run("instance", "add", "one", "--name", "Server one")
        assert "of-file" in terminal.run("instance", "list")
    finally:
        server.remove()


def test_up_without_any_server_says_how_to_get_one() -> None:
    assert "`dayz-relay instance add`" in banner(Settings())[-1]
