"""`dayz-relay instance …` as a person types it, on a relay."""

import json
import re

import pytest

from services.cli.up import banner
from services.relay.instances.records import digest_of
from services.relay.service.settings import Settings
from tests.cli.conftest import RelayTerminal


def test_adding_a_server_shows_its_identity_token(relay: RelayTerminal) -> None:
    said = relay.run("instance", "add", "kept", "--name", "Kept")
    assert "Keep it with your backups" in said and len(said.splitlines()[-1]) >= 43


def test_adding_a_server_under_a_taken_name_warns(relay: RelayTerminal) -> None:
    assert "same name" not in relay.run("instance", "add", "new", "--name", "Server new")
    said = relay.run("instance", "add", "newer", "--name", "Server new")
    assert "dayz-relay: warning: newer: new has the same name" in said
    assert "same name" not in relay.run("instance", "add", "newest", "--name", "Server newest")


def test_adding_or_enabling_a_server_shows_its_warnings(
    relay: RelayTerminal,
) -> None:
    added = relay.json("instance", "add", "new", "--name", "Server new")
    assert added["warnings"] == []
    relay.run("instance", "disable", "new")
    assert "same name" not in relay.run("instance", "add", "newer", "--name", "Server new")
    assert "dayz-relay: warning: new: newer has the same name" in relay.run("instance", "enable", "new")


def test_a_server_is_added_shown_given_a_new_key_disabled_and_removed(relay: RelayTerminal) -> None:
    said = relay.run("instance", "add", "new", "--name", " Server new ")
    assert said.startswith('Server new ("Server new") is added')
    (key,) = set(re.findall(r"/k/([\w-]+)", said))
    assert f'"RegistrationToken": "{key}"' in said and "no Takaro registration token" in said

    said = relay.run("instance", "list")
    head, of_file, _, new = said.splitlines()
    assert head.index("FROM") == of_file.index("settings") == new.index("Redis")
    assert key not in said and digest_of(key) not in said and "identity-of-one" not in said

    said = relay.run("instance", "rotate", "new", "--overlap-h", "2")
    assert "stays valid for 2 h" in said and key not in said
    said = relay.run("instance", "rotate", "new", code=1)
    assert "new has a new key already" in said and "--force" in said
    relay.run("instance", "rotate", "new", "--force")
    relay.run("instance", "disable", "new")
    views = {view["slug"]: view for view in relay.json("instance", "list")}
    assert len(views["new"]["mod_keys"]) == 2 and views["new"]["disabled"]
    assert (views["one"]["origin"], views["new"]["origin"]) == ("relay.toml", "api")
    relay.run("instance", "enable", "new")
    assert "in 24 hours" in relay.run("instance", "remove", "new")
    assert [view["slug"] for view in relay.json("instance", "list")] == ["one", "two"]


def test_a_server_gets_another_name_and_a_token_of_its_own(relay: RelayTerminal) -> None:
    relay.run("instance", "add", "new", "--name", "Server new")
    assert re.search(r"^Takaro token +none$", relay.run("instance", "show", "new"), re.MULTILINE)
    assert "same name" in relay.run("instance", "set", "new", "--name", "Server one")
    (relay.folder / "token").write_text("a-registration-token")
    argv = ("instance", "set", "new", "--name", "Another name")
    said = relay.run(*argv, "--registration-token-file", "token")
    assert "new has a new name and registration token" in said
    view = relay.json("instance", "show", "new")
    assert (view["name"], view["has_registration_token"]) == ("Another name", True)
    assert "nothing is to be changed" in relay.run("instance", "set", "new", code=2)


def test_the_config_of_a_mod_is_shown_again_and_its_key_where_it_is_known(relay: RelayTerminal) -> None:
    added = relay.json("instance", "add", "new", "--name", "Server new")
    said = relay.run("instance", "config", "new")
    assert (
        "/k/<mod key>" in said and "dayz-relay instance rotate new" in said and added["mod_key"] not in said
    )
    assert "/k/mod-key-of-one-0123456789" in relay.run("instance", "config", "one")
    told = relay.json("instance", "config", "one")
    assert json.loads(told["mod_config"])["RegistrationToken"] == "mod-key-of-one-0123456789"


def test_a_script_deletes_the_data_of_a_server_only_with_yes(relay: RelayTerminal) -> None:
    relay.run("instance", "add", "new", "--name", "Server new")
    assert "add --yes" in relay.run("instance", "remove", "new", "--purge", code=2)
    assert len(relay.json("instance", "list")) == 3
    assert "deleted within a minute" in relay.run("instance", "remove", "new", "--purge", "--yes")
    relay.run("instance", "add", "other", "--name", "Server other")
    assert relay.json("instance", "remove", "other") == {"slug": "other", "purged": False}


def test_tokens_come_from_files_or_standard_input(relay: RelayTerminal) -> None:
    (relay.folder / "token").write_text("a-registration-token\n")
    argv = ("instance", "add", "new", "--name", "Server new", "--registration-token-file", "token")
    added = relay.json(*argv, "--identity-token-file", "-", given="an-identity\n")
    assert added["identity_token"] == "an-identity" and len(added["mod_key"]) >= 43
    (view,) = [view for view in relay.json("instance", "list") if view["slug"] == "new"]
    assert view["has_registration_token"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("rotate", "nobody"), 1, "nobody (one, two)"),
        (("remove", "one"), 1, "one is defined in relay.toml or the environment (.env): change it there"),
        (("add", "one", "--name", "abc"), 1, "one is defined in relay.toml"),
        (
            ("set", "one", "--name", "abc"),
            1,
            "one is defined in relay.toml or the environment (.env): change it there",
        ),
        (("set", "nobody", "--name", "abc"), 1, "nobody (one, two)"),
        (("show", "nobody"), 1, "nobody (one, two)"),
        (("set", "one", "--name", "x"), 2, "--name: must have 3 to 50 characters"),
        (("add", "Bad", "--name", "abc"), 2, "slug: must be 1 to 63 of a-z"),
        (("add", "new", "--name", "x"), 2, "--name: must have 3 to 50 characters"),
        (("add", "new", "--name", "abc", "--identity-token-file", "none"), 2, "none cannot be read"),
    ],
)
def test_a_refusal_is_one_line(relay: RelayTerminal, argv: tuple[str, ...], code: int, words: str) -> None:
    said = relay.run("instance", *argv, code=code)
    assert said.startswith("dayz-relay: ") and words in said and len(said.splitlines()) == 1


def test_up_without_any_server_says_how_to_get_one() -> None:
    assert "`dayz-relay instance add`" in banner(Settings())[-1]
