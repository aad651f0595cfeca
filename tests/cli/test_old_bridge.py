"""What the old bridge's settings become: the same identity token in every case, all else told."""

import os
import stat
import sys
from pathlib import Path

import pytest

from services.cli import take_over
from services.cli.old_bridge import DEFAULT_URL, OldBridge, read
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import load
from tests.support.full_disk import no_file_longer_than

PLAIN = "registrationToken=a-token\nserverName=My DayZ Server\n"


def told(old: OldBridge) -> str:
    return "\n".join(old.told)


def test_the_name_is_the_identity_and_all_else_has_the_old_defaults() -> None:
    old = read(PLAIN, {})
    assert old == OldBridge("My DayZ Server", "My DayZ Server", "a-token", DEFAULT_URL, "127.0.0.1", 8088, ())


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("serverName=abc", "abc"),
        ("\ufeffserverName=abc\r\n", "abc"),
        ("  serverName \t=  abc  \r\n", "abc"),
        ("serverName=a=b=c", "a=b=c"),
        ("serverName=abc # not a comment", "abc # not a comment"),
        ('serverName="abc"', '"abc"'),  # it took no quotes off
        ("serverName=abc\nserverName=def", "def"),
        ("serverName=abc\nidentityToken=def", "def"),
        ("serverName=abc\nidentityToken=", "abc"),
        ("serverName=abc\nidentitytoken=def", "abc"),  # it did not see this one
        ("SERVERNAME=abc", "abc"),
        ("SERVERNAME=def\nserverName=abc", "abc"),
        ("serverName=abc\nSERVERNAME=def", "abc"),
        ("#serverName=no\nserverName=abc", "abc"),
        ("serverName=\u00a0abc\u3000", "abc"),
        ("serverName=äöü \ufffd", "äöü \ufffd"),
    ],
)
def test_the_identity_token_is_the_one_that_the_old_bridge_sent(text: str, identity: str) -> None:
    assert read(text, {}).identity_token == identity


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("TAKARO_REGISTRATION_TOKEN", "another", "registration_token"),
        ("TAKARO_IDENTITY_TOKEN", "another", "identity_token"),
        ("TAKARO_WS_URL", "ws://127.0.0.1:1/", "url"),
        ("BRIDGE_LOCAL_PORT", "8099", "port"),
        ("BRIDGE_BIND_ADDR", "0.0.0.0", "host"),
    ],
)
def test_the_environment_beats_the_file(name: str, value: str, field: str) -> None:
    text = PLAIN + "identityToken=x\ntakaroWsUrl=ws://x/\nlocalPort=1\nbindAddress=::1\n"
    assert str(getattr(read(text, {name: value}), field)) == value
    assert getattr(read(text, {name: ""}), field) == getattr(read(text, {}), field)


def test_the_bridge_in_a_dll_has_another_port_and_must_be_removed() -> None:
    dll = read(PLAIN + "profilesDir=profiles\n", {})
    assert dll.port == 8089 and "take winmm.dll and dayz_takaro.dll out" in told(dll)
    assert read(PLAIN + "beServerCfgPath=x\nlocalPort=8090\n", {}).port == 8090


def test_quotes_around_name_token_and_port_are_dropped() -> None:
    old = read("serverName='My server'\nregistrationToken=\"tok\"\nlocalPort='8090'", {})
    assert (old.name, old.registration_token, old.port) == ("My server", "tok", 8090)
    assert old.identity_token == "'My server'" and "quotes are part of the identity token" in told(old)


@pytest.mark.parametrize(
    ("text", "environ", "line"),
    [
        ("nonsense", {}, "line 3 is ignored: it is not written as key=value"),
        ("colour=red", {}, "line 3, 'colour', is ignored: the relay has no such setting"),
        ("profilesDir=x", {}, "line 3, 'profilesDir', is ignored: `dayz-relay agent` sends log"),
        ("", {"DAYZ_LOG_DIR": "/x"}, "DAYZ_LOG_DIR is ignored: `dayz-relay agent` sends log"),
        ("identitytoken=x", {}, "the old bridge saw only identityToken"),
        ("registrationToken=PASTE_TOKEN_HERE", {}, "there is no registrationToken"),
        ("serverName=ab", {}, "the name is made to have 3 to 50 characters"),
    ],
)
def test_an_import_names_each_setting_that_it_leaves_out_and_why(
    text: str, environ: dict[str, str], line: str
) -> None:
    old = read(PLAIN + text, environ)
    assert line in told(old) and "a-token" not in told(old)
    assert 3 <= len(old.name) <= 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("registrationToken=x", "serverName is missing"),
        ("serverName=x\nlocalPort=none", "localPort: 'none' is no"),
    ],
)
def test_settings_that_the_old_bridge_refused_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(text, {})


def take(folder: Path, text: str, environ: dict[str, str] | None = None) -> None:
    source = folder / "TakaroConfig.txt"
    source.write_bytes(text.encode())
    take_over.run(source, folder / "relay.toml", environ or {})


def test_a_first_import_needs_no_change_of_the_mod(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(tmp_path, PLAIN + "localPort=8099\n")
    path = tmp_path / "relay.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings, warnings, _ = load(path, {})
    assert warnings == () and (settings.modapi.host, settings.modapi.port) == ("127.0.0.1", 8099)
    (instance,) = settings.instances
    assert instance.identity_token.get_secret_value() == "My DayZ Server" and instance.mod_keys == ()
    assert instance.registration_token and instance.registration_token.get_secret_value() == "a-token"
    said = capsys.readouterr().out
    assert "The mod needs no change, it calls http://127.0.0.1:8099" in said
    assert "Stop the old bridge" in said and "a-token" not in said


def test_the_file_may_be_named_by_the_variable_of_the_old_bridge(tmp_path: Path) -> None:
    (tmp_path / "bridge.txt").write_text(PLAIN)
    take_over.run(None, tmp_path / "relay.toml", {"BRIDGE_CONFIG": str(tmp_path / "bridge.txt")})
    (instance,) = load(tmp_path / "relay.toml", {}).settings.instances
    assert instance.identity_token.get_secret_value() == "My DayZ Server"


def test_a_server_that_others_can_call_gets_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(tmp_path, PLAIN, {"BRIDGE_BIND_ADDR": "0.0.0.0"})
    (instance,) = load(tmp_path / "relay.toml", {}).settings.instances
    assert f"/k/{instance.mod_keys[0].get_secret_value()}" in capsys.readouterr().out


def test_a_further_import_adds_a_block_and_leaves_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "relay.toml"
    before = (
        '# mine\n[takaro]\nregistration_token = "fleet"\n[[instance]]\nslug = "my-dayz-server"\n'
        'name = "Mine"\nidentity_token = "mine"\nmod_keys = ["key-of-mine-0123456789"]'
    )
    path.write_text(before)
    os.chmod(path, 0o640)
    take(tmp_path, PLAIN + "localPort=9\n")
    assert path.read_text().startswith(before) and stat.S_IMODE(path.stat().st_mode) == 0o640
    _, added = load(path, {}).settings.instances
    assert (added.slug, added.identity_token.get_secret_value()) == ("my-dayz-server-2", "My DayZ Server")
    assert added.registration_token and added.registration_token.get_secret_value() == "a-token"
    said = capsys.readouterr().out
    assert (
        "localPort and bindAddress are ignored" in said
        and f"/k/{added.mod_keys[0].get_secret_value()}" in said
    )
    with pytest.raises(ConfigError, match="my-dayz-server-2 in relay.toml is this server already"):
        take(tmp_path, PLAIN)


def test_an_import_that_would_make_the_file_wrong_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    before = '[[instance]]\nslug = "a"\nname = "Mine"\nidentity_token = "mine"\n'  # no key
    path.write_text(before)
    with pytest.raises(ConfigError, match=r"relay\.toml, \[\[instance\]\] number 1, mod_keys: is missing"):
        take(tmp_path, PLAIN)
    assert path.read_text() == before and sorted(os.listdir(tmp_path)) == ["TakaroConfig.txt", "relay.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="a file has no greatest size there")
@pytest.mark.parametrize("before", [None, "# mine\n"])
def test_an_import_that_finds_no_room_changes_nothing(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "relay.toml"
    if before:
        path.write_text(before)
    with no_file_longer_than(60), pytest.raises(ConfigError, match=r"relay\.toml: cannot be written: "):
        take(tmp_path, PLAIN)
    assert (path.read_text() if path.exists() else None) == before


@pytest.mark.parametrize("name", ['a "quoted" \\ name', "emoji 😀 name"])
def test_any_name_survives_the_file(tmp_path: Path, name: str) -> None:
    take(tmp_path, f"serverName={name}\n")
    (instance,) = load(tmp_path / "relay.toml", {}).settings.instances
    assert instance.name == name and instance.identity_token.get_secret_value() == name
