"""relay.toml and the environment become settings, or complaints that name the place and the fix."""

import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from services.relay.protocol.errors import ConfigError
from services.relay.protocol.limits import Limits
from services.relay.service.settings import (
    KEYS,
    Alerts,
    Instance,
    Log,
    MetricsSettings,
    ModApi,
    Redis,
    Settings,
    Takaro,
    Uplink,
    load,
    masked,
)
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_values import is_loopback, slug_of
from services.relay.store.url import parse

MAIN = """
[[instance]]
slug = "main"
name = "My server"
identity_token = "identity-of-main"
mod_keys = ["key-of-main-0123456789"]
"""
SECOND = """
[[instance]]
slug = "second"
name = "Another server"
identity_token = "identity-of-second"
mod_keys = ["key-of-second-0123456789"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return str(caught.value).splitlines()


def secret(value: Any) -> str:
    return str(value.get_secret_value())


def test_the_names_of_all_settings_are_those_of_the_models() -> None:
    models: dict[str, type[BaseModel]] = {
        "takaro": Takaro,
        "redis": Redis,
        "modapi": ModApi,
        "uplink": Uplink,
        "limits": Limits,
        "log": Log,
        "metrics": MetricsSettings,
        "alerts": Alerts,
        "instance": Instance,
    }
    assert {name: tuple(model.model_fields) for name, model in models.items()} == KEYS
    assert set(Settings.model_fields) == {*KEYS, "instances"} - {"instance"}


def test_one_instance_is_enough_and_all_else_has_a_default(tmp_path: Path) -> None:
    settings, warnings, _ = load(write(tmp_path, MAIN), {})
    assert warnings == ()
    assert settings.takaro.url == "wss://connect.takaro.io/"
    assert settings.redis.url is None
    assert (settings.modapi.host, settings.modapi.port) == ("127.0.0.1", 8088)
    assert (settings.modapi.admin_host, settings.modapi.admin_port) == ("127.0.0.1", 9088)
    assert (settings.uplink.admin_host, settings.uplink.admin_port) == ("127.0.0.1", 9089)
    (instance,) = settings.instances
    assert (instance.slug, instance.name) == ("main", "My server")
    assert secret(instance.identity_token) == "identity-of-main"
    assert [secret(key) for key in instance.mod_keys] == ["key-of-main-0123456789"]
    assert instance.registration_token is None


@pytest.mark.parametrize("text", ["", "[redis]\nurl = 'redis://localhost/0'\n"])
def test_no_instance_is_not_an_error_because_panels_add_them(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path, text), {}).settings.instances == ()
    assert load(None, {"TAKARO_IDENTITY_TOKEN": ""}).settings.instances == ()
    assert load(None, {"TAKARO_SERVER_NAME": '""'}).settings.instances == ()


def test_an_instance_uses_its_own_registration_token_or_that_of_the_fleet(tmp_path: Path) -> None:
    text = '[takaro]\nregistration_token = "fleet"\n' + MAIN + SECOND + 'registration_token = "own"\n'
    settings, *_ = load(write(tmp_path, text), {})
    assert [secret(one.registration_token) for one in settings.instances] == ["fleet", "own"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[modapi]\nadmin_token = 'short'\n" + MAIN, "{path}, [modapi], admin_token: must have 16 or more"),
        ("[instance]\nslug = 'a'", "{path}: [instance] must be written [[instance]]"),
        ("takaro = 3\n" + MAIN, "{path}: takaro must be a table"),
        ("[takaro\n", "{path}: is not valid TOML: "),
        ('[log]\nformat = "x\n', "{path}: is not valid TOML: Illegal character '\\n' (at line 2, "),
        ("[log]\nformat = x\n", "{path}: is not valid TOML: Invalid value (at line 2, column 10): text"),
        ("[log]\nformat = “text”\n", "{path}: is not valid TOML: Invalid value (at line 2, column 10): text"),
        ("[takaro]\nurl = 'https://x'\n" + MAIN, "{path}, [takaro], url: must be a WebSocket address"),
        ("[takaro]\nurl = 'wss://'\n" + MAIN, "{path}, [takaro], url: must be a WebSocket address"),
        ("[takaro]\nurl = 'wss://[x'\n" + MAIN, "{path}, [takaro], url: must be a WebSocket address"),
        ("[takaro]\nurl = 'wss://a..b/'\n" + MAIN, "{path}, [takaro], url: must be a WebSocket address"),
        ("[modapi]\nhost = 'a..b'\n" + MAIN, "{path}, [modapi], host: must be an address or a name"),
        (f"[modapi]\nhost = '{'x' * 64}'\n" + MAIN, "{path}, [modapi], host: must be an address or a name"),
        ("[takaro]\nregistration_token = ' '\n" + MAIN, "{path}, [takaro], registration_token: must not be"),
        ("[redis]\nurl = 'http://x'\n" + MAIN, "{path}, [redis], url: must start with redis://"),
        ("[redis]\nurl = 'redis://u:1/2@h'\n" + MAIN, "{path}, [redis], url: must have its password percent"),
        ("[modapi]\nport = 65536\n" + MAIN, "{path}, [modapi], port: must be a port number"),
        ("[modapi]\nport = -1\n" + MAIN, "{path}, [modapi], port: must be a port number"),
        ("[modapi]\npublic_url = 'h:1'\n" + MAIN, "{path}, [modapi], public_url: must be the address"),
        ("[modapi]\npublic_url = 'http://h?a'\n" + MAIN, "{path}, [modapi], public_url: must be the address"),
        ("[modapi]\npublic_url = 'http://h/k/a'\n" + MAIN, "{path}, [modapi], public_url: must be the"),
        ("[modapi]\nport = true\n" + MAIN, "{path}, [modapi], port: must be a port number"),
        ("[modapi]\nhold_polls_s = 8.5\n" + MAIN, "{path}, [modapi], hold_polls_s: must be less than"),
        ("[modapi]\nhold_polls_s = -1\n" + MAIN, "{path}, [modapi], hold_polls_s: must be greater than"),
        ("[modapi]\nhold_polls_s = nan\n" + MAIN, "{path}, [modapi], hold_polls_s: must be"),
        ("[modapi]\ntls_cert = 'c'\n" + MAIN, "{path}, [modapi], tls_key: is missing: for TLS both"),
        ("[modapi]\ntls_key = 'k'\n" + MAIN, "{path}, [modapi], tls_cert: is missing: for TLS both"),
        ("[modapi]\ntrusted_proxies = ['x']\n" + MAIN, "{path}, [modapi], trusted_proxies: must be an"),
        ("[modapi]\ntrusted_proxies = ['::1']\n" + MAIN.replace("mod_keys", "#"), "{one}, mod_keys: is"),
        ("[takaro]\nproxy = 'socks5://h'\n" + MAIN, "{path}, [takaro], proxy: must be the address"),
        ("[alerts]\nwebhook_url = 'x'\n" + MAIN, "{path}, [alerts], webhook_url: must be the address"),
        ("[alerts]\ndiscord_url = 'https://h/a\u2028b'\n" + MAIN, "{path}, [alerts], discord_url: must be"),
        ("[alerts]\nsilent_after_s = 5\n" + MAIN, "{path}, [alerts], silent_after_s: must be greater"),
        ("[limits]\nconnections = 0\n" + MAIN, "{path}, [limits], connections: must be greater"),
        ("[limits]\nrequests_per_s = nan\n" + MAIN, "{path}, [limits], requests_per_s: must be"),
        ("[limits]\nframe_out_bytes = 99999999\n" + MAIN, "{path}, [limits], frame_out_bytes: must be less"),
        ("[modapi]\nhost = 3\n" + MAIN, "{path}, [modapi], host: must be a valid string"),
        (MAIN.replace('"main"', '"Main"'), "{one}, slug: must be 1 to 63 of"),
        (MAIN.replace('"main"', '"-a"'), "{one}, slug: must be 1 to 63 of"),
        (MAIN.replace('"main"', '"a\\nb"'), "{one}, slug: must be 1 to 63 of"),
        (MAIN.replace("My server", "My"), "{one}, name: must have 3 to 50"),
        (MAIN.replace("My server", "x" * 51), "{one}, name: must have 3 to 50"),
        (MAIN.replace("identity-of-main", " "), "{one}, identity_token: must not"),
        (MAIN.replace("key-of-main-0123456789", "short"), "{one}, mod_keys: a key"),
        (MAIN.replace("key-of-main-", "key/of/main/"), "{one}, mod_keys: a key"),
        (MAIN.replace('["key-of-main-0123456789"]', '"x"'), "{one}, mod_keys"),
        ("[[instance]]\nslug = 'main'\nname = 'abc'", "{one}, identity_token: is missing"),
        ("[[instance]]", "{one}, slug: is missing"),
        (MAIN + SECOND.replace('"second"', '"main"'), "{two}, slug: holds what"),
        (MAIN + SECOND.replace("y-of-second", "y-of-main"), "{two}, identity_token: holds"),
        (MAIN + SECOND.replace("key-of-second", "key-of-main"), "{two}, mod_keys: holds"),
        ("[modapi]\nhost = '0.0.0.0'\n" + MAIN.replace("mod_keys", "#"), "{one}, mod_keys: is"),
        (MAIN + SECOND.replace("mod_keys", "#"), "{two}, mod_keys: is missing, and only a single"),
        ("[redis]\nurl_file = 'missing'\n" + MAIN, "{path}, [redis], url_file: {folder}/missing cannot be"),
        ("[redis]\nurl_file = 'empty'\n" + MAIN, "{path}, [redis], url_file: {folder}/empty is empty"),
        ("[redis]\nurl_file = 'binary'\n" + MAIN, "{path}, [redis], url_file: {folder}/binary cannot be"),
        (MAIN + "identity_token_file = 'x'", "{one}, identity_token_file: identity_token is"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    path = write(tmp_path, text)
    one, two = (f"{path}, [[instance]] number {number}" for number in (1, 2))
    expected = complaint.format(path=path, folder=tmp_path, one=one, two=two)
    assert any(line.startswith(expected) for line in complaints(path)), complaints(path)


def test_each_wrong_setting_gets_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "[modapi]\nport = 'x'\nadmin_port = 'y'\n" + MAIN.replace("My server", "My"))
    assert [line.split(": ")[0] for line in complaints(path)] == [
        f"{path}, [modapi], port",
        f"{path}, [modapi], admin_port",
        f"{path}, [[instance]] number 1, name",
    ]


def test_a_missing_relay_toml_is_refused_with_how_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    assert complaints(path) == [f"{path}: does not exist: `dayz-relay up` writes a first one"]


def test_a_single_instance_on_loopback_may_do_without_a_key(tmp_path: Path) -> None:
    (instance,) = load(write(tmp_path, MAIN.replace("mod_keys", "#")), {}).settings.instances
    assert instance.mod_keys == ()


def test_secrets_are_read_from_files_beside_the_settings_and_stripped(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n registration \n")
    (tmp_path / "identity").write_text("identity\r\n")
    (tmp_path / "keys").write_text("first-key-0123456789\n\nsecond-key-0123456789\n")
    text = """
[takaro]
registration_token_file = "token"
[[instance]]
slug = "main"
name = "My server"
identity_token_file = "identity"
mod_keys_file = "keys"
"""
    (instance,) = load(write(tmp_path, text), {}).settings.instances
    assert secret(instance.registration_token) == "registration"
    assert secret(instance.identity_token) == "identity"
    assert [secret(key) for key in instance.mod_keys] == ["first-key-0123456789", "second-key-0123456789"]


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://from-file:1/0")
    environ = {
        "RELAY_TAKARO__URL": "ws://127.0.0.1:1/",
        "RELAY_REDIS__URL_FILE": str(tmp_path / "url"),
        "RELAY_MODAPI__PORT": "0",
        "RELAY_INSTANCE__0__NAME": "Renamed",
        "RELAY_INSTANCE__0__MOD_KEYS": "key-a-0123456789, key-b-0123456789",
        "RELAY_UPLINK__ADMIN_PORT": "",  # set to nothing is not set
    }
    text = "[redis]\nurl = 'redis://from-toml:1/0'\n[uplink]\nadmin_port = 7\n" + MAIN
    settings, warnings, _ = load(write(tmp_path, text), environ)
    assert warnings == ()
    assert settings.takaro.url == "ws://127.0.0.1:1/"
    assert secret(settings.redis.url) == "redis://from-file:1/0"
    assert settings.modapi.port == 0
    assert settings.uplink.admin_port == 7
    (instance,) = settings.instances
    assert (instance.slug, instance.name) == ("main", "Renamed")
    assert [secret(key) for key in instance.mod_keys] == ["key-a-0123456789", "key-b-0123456789"]


def test_the_environment_adds_an_instance_to_those_of_the_file(tmp_path: Path) -> None:
    environ = {
        "RELAY_INSTANCE__1__SLUG": "second",
        "RELAY_INSTANCE__1__NAME": "Another server",
        "RELAY_INSTANCE__1__IDENTITY_TOKEN": "identity-of-second",
        "RELAY_INSTANCE__1__MOD_KEYS": "key-of-second-0123456789",
    }
    settings, *_ = load(write(tmp_path, MAIN), environ)
    assert [one.slug for one in settings.instances] == ["main", "second"]


def test_the_short_names_are_enough_for_a_single_server(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("registration\n")
    environ = {
        "TAKARO_REGISTRATION_TOKEN_FILE": str(tmp_path / "token"),
        "TAKARO_IDENTITY_TOKEN": "identity",
        "TAKARO_SERVER_NAME": "My server",
        "TAKARO_WS_URL": "ws://127.0.0.1:1/",
    }
    assert environment_configures(environ)
    settings, warnings, _ = load(None, environ)
    (instance,) = settings.instances
    assert (instance.slug, instance.name, settings.takaro.url) == ("server", "My server", "ws://127.0.0.1:1/")
    assert (secret(instance.identity_token), secret(instance.registration_token)) == (
        "identity",
        "registration",
    )
    assert warnings == ()


def test_the_short_names_fill_gaps_and_overrule_nothing(tmp_path: Path) -> None:
    environ = {
        f"TAKARO_{name}": "from TAKARO_" for name in ("SERVER_NAME", "REGISTRATION_TOKEN", "IDENTITY_TOKEN")
    } | {
        "BRIDGE_LOCAL_PORT": "8099",
        "BRIDGE_BIND_ADDR": "127.0.0.2",
        "RELAY_MODAPI__HOST": "127.0.0.3",
    }
    environ["RELAY_TAKARO__REGISTRATION_TOKEN"] = "from RELAY_"
    text = MAIN.replace('identity_token = "identity-of-main"', "")
    settings = load(write(tmp_path, text), environ).settings
    (instance,) = settings.instances
    assert (settings.modapi.host, settings.modapi.port) == ("127.0.0.3", 8099)
    assert (instance.slug, instance.name) == ("main", "My server")
    assert secret(instance.identity_token) == "from TAKARO_"
    assert secret(instance.registration_token) == "from RELAY_"


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"RELAY_MODAPI__PORT": "x"}, "RELAY_MODAPI__PORT: must be a port number"),
        ({"TAKARO_SERVER_NAME": "ab"}, "TAKARO_SERVER_NAME: must have 3 to 50 characters"),
        ({"TAKARO_SERVER_NAME": "abc"}, "RELAY_INSTANCE__0__IDENTITY_TOKEN or TAKARO_IDENTITY"),
        ({"RELAY_INSTANCE__3__SLUG": "a"}, "RELAY_INSTANCE__3__NAME: is missing"),
        ({"TAKARO_IDENTITY_TOKEN": "a", "TAKARO_IDENTITY_TOKEN_FILE": "b"}, "TAKARO_IDENTITY_TOKEN_FILE: "),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(environ: dict[str, str], complaint: str) -> None:
    base = (
        {"TAKARO_IDENTITY_TOKEN": "i", "TAKARO_SERVER_NAME": "abc"} if "RELAY_MODAPI__PORT" in environ else {}
    )
    assert any(line.startswith(complaint) for line in complaints(None, base | environ))


@pytest.mark.parametrize(
    ("text", "environ", "warning"),
    [
        ("[modapi]\nprot = 1\n", {}, "{path}, [modapi], prot: unknown key, did you mean port?"),
        ("[takoro]\nurl = 'x'\n", {}, "{path}: unknown section [takoro], did you mean takaro?"),
        ("zzz = 1\n", {}, "{path}: unknown section [zzz]: it is ignored"),
        ("", {"RELAY_REDIS_URL": "x"}, "RELAY_REDIS_URL: unknown variable, did you mean RELAY_REDIS__URL?"),
        (
            "",
            {"RELAY_INSTANCE__7__IDENTITY": "x"},
            "RELAY_INSTANCE__7__IDENTITY: unknown variable, did you mean RELAY_INSTANCE__7__IDENTITY_TOKEN?",
        ),
        ("", {"RELAY_INSTANCE__X__SLUG": "x"}, "RELAY_INSTANCE__X__SLUG: unknown variable"),
        ("", {"RELAY_": "x"}, "RELAY_: unknown variable"),
    ],
)
def test_an_unknown_name_gets_a_warning_with_the_nearest_known_one(
    tmp_path: Path, text: str, environ: dict[str, str], warning: str
) -> None:
    path = write(tmp_path, text + MAIN)
    (shown,) = load(path, environ).warnings
    assert shown.startswith(warning.format(path=path))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:hunter2@db.example:6380/1", "rediss://user:***@db.example:6380/1"),
        ("redis://:hunter2@db.example", "redis://:***@db.example"),
        ("redis://u:hun@ter2@db.example", "redis://u:***@db.example"),
        ("unix:///run/x.sock?password=hunter2&db=1", "unix:///run/x.sock?password=***&db=1"),
    ],
)
def test_masked_settings_show_a_redis_url_without_its_password(url: str, shown: str) -> None:
    environ = {"TAKARO_IDENTITY_TOKEN": "abcde", "TAKARO_SERVER_NAME": "abc", "RELAY_REDIS__URL": url}
    settings = masked(load(None, environ).settings)
    assert settings["redis"]["url"] == shown
    assert settings["instance"][0]["identity_token"] == "set (5 characters)"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_only_loopback_counts_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("lines", "loopback"),
    [("", True), ("host = '0.0.0.0'", False), ("trusted_proxies = ['127.0.0.1', '10.0.0.0/8']", False)],
)
def test_a_trusted_proxy_lets_other_machines_call(tmp_path: Path, lines: str, loopback: bool) -> None:
    settings, *_ = load(write(tmp_path, f"[modapi]\n{lines}\n{MAIN}"), {})
    assert settings.modapi.loopback_only is loopback


def test_lists_and_files_of_the_mods_port_are_read_from_file_and_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "[modapi]\ntls_cert = 'tls/c.pem'\ntls_key = '/k.pem'\n" + MAIN)
    modapi = load(path, {"RELAY_MODAPI__TRUSTED_PROXIES": "10.0.0.1, fd00::/8"}).settings.modapi
    assert (modapi.tls_cert, modapi.tls_key) == (str(tmp_path / "tls/c.pem"), "/k.pem")
    assert modapi.trusted_proxies == ("10.0.0.1", "fd00::/8")


@pytest.mark.parametrize(
    "written", ['"k-0123456789abcdef, l-0123456789abcdef"', '["k-0123456789abcdef", "l-0123456789abcdef"]']
)
def test_a_list_can_be_one_text_with_commas(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, MAIN.replace('["key-of-main-0123456789"]', written))
    assert [secret(key) for key in load(path, {}).settings.instances[0].mod_keys] == [
        "k-0123456789abcdef",
        "l-0123456789abcdef",
    ]


def test_settings_made_in_code_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_MODAPI__PORT", "1")
    assert Settings().modapi.port == 8088


PASSWORD = '/#?%\\"$:@ &=é"'
"""Each character that an address, a shell, a .env file or the settings of Redis read in a way of its own."""


@pytest.mark.parametrize("how", ["relay.toml", "variable", "file of a variable"])
def test_a_password_of_redis_may_have_any_character(tmp_path: Path, how: str) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    toml, environ = {
        "relay.toml": ("password_file = 'password'\n", {}),
        "variable": ("", {"RELAY_REDIS__PASSWORD": PASSWORD}),
        "file of a variable": ("", {"RELAY_REDIS__PASSWORD_FILE": str(tmp_path / "password")}),
    }[how]
    path = write(tmp_path, f"[redis]\nurl = 'redis://db.example:6380/1'\n{toml}{MAIN}")
    settings, warnings, _ = load(path, environ)
    assert settings.redis.url and warnings == ()
    address = parse(settings.redis.url.get_secret_value())
    assert (address.login.user, address.login.password, address.db) == ("", PASSWORD, 1)
    assert str(address.endpoints[0]) == "db.example:6380"
    assert masked(settings)["redis"]["url"] == "redis://:***@db.example:6380/1"


@pytest.mark.parametrize(
    ("redis", "complaint"),
    [
        ("", "is set without redis.url"),
        ("url = 'redis://:hunter2@h:1/0'\n", "is set, and url has a password already"),
        ("url = 'redis://relay:hunter2@h:1/0'\n", "is set, and url has a password already"),
    ],
)
def test_a_password_of_redis_needs_an_address_without_one(tmp_path: Path, redis: str, complaint: str) -> None:
    path = write(tmp_path, f"[redis]\n{redis}password = 'hunter3'\n{MAIN}")
    (line,) = complaints(path)
    assert line.startswith(f"{path}, [redis], password: {complaint}")
    assert "hunter" not in line


def test_a_variable_that_names_an_empty_file_is_not_set(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    names = (
        "TAKARO_MOD_KEY",
        "TAKARO_IDENTITY_TOKEN",
        "TAKARO_REGISTRATION_TOKEN",
        "RELAY_MODAPI__ADMIN_TOKEN",
    )
    environ = {f"{name}_FILE": str(empty) for name in names}
    settings, warnings, _ = load(None, environ)
    assert settings.instances == () and settings.modapi.admin_token is None and warnings == ()
    settings, warnings, _ = load(write(tmp_path, MAIN), environ)
    assert secret(settings.instances[0].mod_keys[0]) == "key-of-main-0123456789" and warnings == ()


def test_a_server_of_the_environment_never_mixes_with_those_of_relay_toml(tmp_path: Path) -> None:
    path = write(tmp_path, MAIN)
    environ = {
        "TAKARO_SERVER_NAME": "Another server",
        "TAKARO_IDENTITY_TOKEN": "identity-of-another",
        "TAKARO_MOD_KEY": "key-of-another-0123456789",
    }
    settings, warnings, _ = load(path, environ)
    (instance,) = settings.instances
    assert (instance.name, secret(instance.mod_keys[0])) == ("My server", "key-of-main-0123456789")
    assert secret(instance.identity_token) == "identity-of-main"
    assert warnings == (
        f"TAKARO_SERVER_NAME: that server is not served, because {path} has [[instance]] blocks: add one for"
        " it there, or empty this variable",
    )


def test_a_placeholder_hides_the_token_of_a_later_source_and_makes_no_instance(tmp_path: Path) -> None:
    path = write(tmp_path, "[takaro]\nregistration_token = 'real'\n" + MAIN)
    environ = {
        "RELAY_TAKARO__REGISTRATION_TOKEN": "<token>",
        "RELAY_INSTANCE__1__REGISTRATION_TOKEN": "<token>",
    }
    settings = load(path, environ).settings
    assert settings.takaro.registration_token is None and len(settings.instances) == 1


def test_a_file_is_not_read_for_a_setting_that_the_environment_has(tmp_path: Path) -> None:
    path = write(tmp_path, "[redis]\nurl_file = 'missing'\n" + MAIN)
    url = "redis://h:1/0"
    assert secret(load(path, {"RELAY_REDIS__URL": url}).settings.redis.url) == url


secrets = st.text(string.printable, max_size=20).map(lambda text: f"S3CRET{text}S3CRET")


SECRET_NAMES = [
    "TAKARO_REGISTRATION_TOKEN",
    "TAKARO_IDENTITY_TOKEN",
    "RELAY_REDIS__URL",
    "RELAY_MODAPI__ADMIN_TOKEN",
    "RELAY_TAKARO__PROXY",
    "RELAY_INSTANCE__0__MOD_KEYS",
    "RELAY_INSTANCE__1__MOD_KEYS",
    "RELAY_INSTANCE__1__IDENTITY_TOKEN",
    "RELAY_INSTANCE__1__REGISTRATION_TOKEN",
    "RELAY_REDIS_URL",
    "RELAY_INSTANCE__0__IDENTITY",
]
values = st.one_of(
    secrets,
    secrets.map(lambda text: f"redis://u:{text}@h:port/"),
    secrets.map(lambda text: f"redis://u:{text}@h:1/0"),
    secrets.map(lambda text: f"http://u:{text}@h:1"),
    st.just("S3CRET-0123456789"),
)


@given(
    st.dictionaries(st.sampled_from(SECRET_NAMES), values),
    st.sampled_from(["127.0.0.1", "0.0.0.0"]),
)
def test_no_secret_is_in_any_complaint_warning_or_repr(environ: dict[str, str], host: str) -> None:
    names = {f"RELAY_INSTANCE__{n}__{key}": f"abc{n}" for n in (0, 1) for key in ("SLUG", "NAME")}
    try:
        settings, warnings, _ = load(None, environ | names | {"RELAY_MODAPI__HOST": host})
        shown = f"{settings!r} {warnings!r} {masked(settings)!r}"
    except ConfigError as error:
        shown = f"{error} {error.__cause__} {error.__context__}"
    assert "S3CRET" not in shown


names = st.sampled_from(["url", "port", "slug", "mod_keys", "x"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(documents, st.sampled_from(sorted(KEYS)))
def test_any_file_becomes_settings_or_a_complaint(
    tmp_path_factory: pytest.TempPathFactory, value: object, section: str
) -> None:
    path = write(tmp_path_factory.mktemp("any"), f"{section} = {_toml(value)}\n")
    try:
        load(path, {"TAKARO_IDENTITY_TOKEN": "i", "TAKARO_SERVER_NAME": "abc"})
    except ConfigError as error:
        assert str(error)


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
        case list():
            return "[" + ",".join(map(_toml, value)) + "]"
        case dict():
            return "{" + ",".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    raise AssertionError(value)


def test_the_address_of_a_webhook_is_shown_as_a_secret(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://discord.example/api/webhooks/1/very-secret\n")
    path = write(tmp_path, "[alerts]\ndiscord_url_file = 'hook'\n" + MAIN)
    settings = load(path, {}).settings
    assert secret(settings.alerts.discord_url).endswith("/very-secret")
    assert "very-secret" not in repr(settings) + repr(masked(settings))
    assert masked(settings)["alerts"]["discord_url"] == "set (50 characters)"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("game-host.lan", "game-host.lan"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_host_is_an_address_or_a_name(tmp_path: Path, written: str, meant: str) -> None:
    assert load(write(tmp_path, MAIN), {"RELAY_MODAPI__HOST": written}).settings.modapi.host == meant


@pytest.mark.parametrize("key", ["modapi.host", "modapi.admin_host", "uplink.admin_host"])
@pytest.mark.parametrize(
    "written", ["*", "[::1]", "127.0.0.1:8088", "http://10.0.0.1", "10.0.0.256", "10.0.0.0/8", ""]
)
def test_a_wrong_host_is_refused_with_the_fix(tmp_path: Path, key: str, written: str) -> None:
    section, name = key.split(".")
    (line,) = complaints(write(tmp_path, f'[{section}]\n{name} = "{written}"\n{MAIN}'))
    assert line.startswith(f"{tmp_path / 'relay.toml'}, [{section}], {name}: must be an address or a name")
    assert '"::" by IPv6 as well' in line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_is_read_in_each_encoding_that_editors_write(tmp_path: Path, encoding: str) -> None:
    path, token = tmp_path / "relay.toml", tmp_path / "token"
    path.write_bytes(
        (MAIN.replace("My server", "Привет") + "[takaro]\nregistration_token_file='token'\n").encode(encoding)
    )
    token.write_bytes("the-token\r\n".encode(encoding))
    settings = load(path, {}).settings
    assert (
        settings.instances[0].name == "Привет" and secret(settings.takaro.registration_token) == "the-token"
    )


def test_a_file_in_an_unknown_encoding_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_bytes(MAIN.replace("My server", "Ménagerie").encode("latin-1"))
    assert complaints(path) == [
        f"{path}: is not valid TOML: it is not UTF-8 text: save it as UTF-8 in your editor"
    ]


@pytest.mark.parametrize("written", ['"My server"', "'My server'", ' "My server" '])
def test_quotation_marks_around_a_variable_are_left_out(written: str) -> None:
    loaded = load(None, {"TAKARO_SERVER_NAME": written, "RELAY_INSTANCE__0__IDENTITY_TOKEN": "identity"})
    assert loaded.settings.instances[0].name == "My server"
    assert loaded.warnings == (
        "TAKARO_SERVER_NAME: the quotation marks around its value are left out: write it without them",
    )


def test_quotation_marks_around_an_identity_token_stay() -> None:
    loaded = load(None, {"TAKARO_SERVER_NAME": "My server", "TAKARO_IDENTITY_TOKEN": '"identity"'})
    assert secret(loaded.settings.instances[0].identity_token) == '"identity"'
    assert "are a part of the identity token" in loaded.warnings[0]


def test_the_byte_order_mark_before_a_variable_is_left_out() -> None:
    environ = {"\ufeffTAKARO_SERVER_NAME": "My server", "TAKARO_IDENTITY_TOKEN": "identity"}
    assert load(None, environ).settings.instances[0].name == "My server"
    assert environment_configures({"\ufeffTAKARO_SERVER_NAME": "My server"})


@pytest.mark.parametrize(
    "written",
    ["5f1c0a3e-your-4b1f-here0", "yourserver", "xxY", "herewego", "eyJhbGciOi.JIUz-_x", "tokenizer"],
)
def test_a_token_that_only_resembles_a_placeholder_is_one(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, f'[takaro]\nregistration_token = "{written}"\n{MAIN}')
    settings, warnings, _ = load(path, {})
    assert secret(settings.takaro.registration_token) == written and warnings == ()


@pytest.mark.parametrize("written", ['"the-token"\r\n', "'the-token'", '\ufeff"the-token"\n'])
def test_quotation_marks_in_the_file_of_a_secret_are_left_out(tmp_path: Path, written: str) -> None:
    (tmp_path / "token").write_text(written, newline="", encoding="utf-8")
    path = write(tmp_path, f'[takaro]\nregistration_token_file = "token"\n{MAIN}')
    settings, warnings, _ = load(path, {})
    assert secret(settings.takaro.registration_token) == "the-token"
    (warning,) = warnings
    assert warning.startswith(f"{tmp_path / 'token'}: the quotation marks around its value are left out")


def test_quotation_marks_in_the_file_of_an_identity_token_stay(tmp_path: Path) -> None:
    (tmp_path / "identity").write_text('"identity"')
    without = re.sub(r"identity_token = .*", 'identity_token_file = "identity"', MAIN)
    settings, warnings, _ = load(write(tmp_path, without), {})
    assert secret(settings.instances[0].identity_token) == '"identity"'
    assert "are a part of the identity token" in warnings[0]


@pytest.mark.parametrize(
    "written",
    [
        "paste it here and remove the # in front",
        "PASTE_TOKEN_HERE",
        "<registration token>",
        "from-the-dashboard-of-takaro",
        "YOUR_TOKEN",
        "token-goes-here",
        "from Takaro's dashboard",
        "changeme",
        "xxxxxxxx",
        "...",
        "…",
    ],
)
def test_a_placeholder_of_a_registration_token_counts_as_not_set(tmp_path: Path, written: str) -> None:
    path = write(
        tmp_path, f'[takaro]\nregistration_token = "{written}"\n{MAIN}registration_token = "{written}"'
    )
    settings, warnings, _ = load(path, {})
    assert settings.takaro.registration_token is settings.instances[0].registration_token is None
    assert len(warnings) == 2 and all("holds no token but the words" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My DayZ Server #1", "my-dayz-server-1"),
        ("[EU] Müller's Café", "eu-muller-s-cafe"),
        ("日本", "server"),
        ("a" * 80, "a" * 50),
    ],
)
def test_a_slug_is_made_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug
