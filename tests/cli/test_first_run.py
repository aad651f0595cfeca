"""The first relay.toml is complete but for Takaro's token, private, and told to its owner in full."""

import json
import re
import sys
from pathlib import Path

import pytest

from services.cli import up
from services.relay.instances.mod_config import mod_url
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import ModApi, load
from tests.support.full_disk import no_file_longer_than

# The fields that the mod writes into its own default config.json.
MOD_FIELDS = {
    "TakaroApiUrl", "RegistrationToken", "IdentityToken", "GameServerId", "EventBatchIntervalMs",
    "CommandPollIntervalMs", "MaxEventsPerBatch", "LogVerbose", "DryRun",
}  # fmt: skip


def printed_config(told: str) -> dict[str, object]:
    block = re.search(r"^\{$.*?^\}$", told, re.DOTALL | re.MULTILINE)
    assert block is not None
    config = json.loads(block.group())
    assert isinstance(config, dict)
    return config


def first(path: Path) -> str:
    up.write_first(path)
    return up.what_to_do(path, load(path, {}).settings)


def test_the_file_is_for_its_owner_only_and_loads_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    up.write_first(path)
    assert path.stat().st_mode & 0o777 == 0o600
    settings, warnings, _ = load(path, {})
    assert warnings == ()
    assert [one.slug for one in settings.instances] == ["main"]
    assert settings.instances[0].registration_token is None


def test_the_printed_mod_config_carries_the_key_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    config = printed_config(first(path))
    settings = load(path, {}).settings
    key = settings.instances[0].mod_keys[0].get_secret_value()
    assert set(config) == MOD_FIELDS
    assert config["TakaroApiUrl"] == f"http://{settings.modapi.host}:{settings.modapi.port}/k/{key}"
    assert config["RegistrationToken"] == key
    assert config["IdentityToken"] == config["GameServerId"] == ""


def test_a_token_pasted_where_the_file_says_so_is_found(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    told = first(path)
    assert "Add Game Server" in told
    path.write_text(re.sub(r'# (registration_token = )".*"', r'\1"9f3kd02m"', path.read_text()))
    token = load(path, {}).settings.instances[0].registration_token
    assert token is not None
    assert token.get_secret_value() == "9f3kd02m"


def test_two_first_runs_share_no_secret(tmp_path: Path) -> None:
    told = [printed_config(first(tmp_path / name)) for name in ("a", "b")]
    assert told[0]["RegistrationToken"] != told[1]["RegistrationToken"]
    tokens = [load(tmp_path / name, {}).settings.instances[0].identity_token for name in ("a", "b")]
    assert tokens[0] != tokens[1]


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"relay\.toml: cannot be written: File exists"):
        up.write_first(path)
    assert path.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="a file has no greatest size there")
def test_a_first_file_that_finds_no_room_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    with no_file_longer_than(100), pytest.raises(ConfigError, match=r"relay\.toml: cannot be written: "):
        up.write_first(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("10.1.2.3", "http://10.1.2.3:1"),
        ("::1", "http://[::1]:1"),
        ("::", "http://127.0.0.1:1"),
    ],
)
def test_the_address_for_the_mod_is_one_that_can_be_called(host: str, url: str) -> None:
    assert mod_url(ModApi(host=host, port=1)) == url
    public = "https://relay.example.org"
    assert mod_url(ModApi(host=host, port=1, public_url=f"{public}/")) == public
