"""The agent's settings, by the names of the old bridge."""

from pathlib import Path

import pytest

from services.agent.settings import DENY, read
from services.relay.protocol.errors import ConfigError

KEY = "mod-key-0123456789abcdef"
URL = f"http://relay:8088/k/{KEY}"


def given(folder: Path, **more: str) -> dict[str, str]:
    return {"DAYZ_LOG_DIR": str(folder), "DAYZ_RELAY_URL": URL, **more}


def test_address_and_folder_are_enough(tmp_path: Path) -> None:
    settings = read(None, Path("agent.json"), given(tmp_path, DAYZ_LOG_DENY=" ", DAYZ_LOG_MAX_PER_SEC=""))
    assert (settings.url, settings.logs, settings.max_per_s) == (URL, tmp_path, 20)
    assert [one.pattern for one in settings.deny] == list(DENY)


def test_the_names_of_the_old_bridge_work(tmp_path: Path) -> None:
    more = {"DAYZ_LOG_DENY": r"\[DBG\], ^noise ,", "DAYZ_LOG_MAX_PER_SEC": "5"}
    settings = read(None, Path("agent.json"), given(tmp_path, **more))
    assert [one.pattern for one in settings.deny] == [r"\[DBG\]", "^noise"]
    assert settings.max_per_s == 5


def test_a_pattern_with_a_comma_denies_as_a_whole(tmp_path: Path) -> None:
    deny = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}, ^noise"
    settings = read(None, Path("agent.json"), given(tmp_path, DAYZ_LOG_DENY=deny))
    assert [one.pattern for one in settings.deny] == [r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", "^noise"]


def test_an_argument_beats_the_variable(tmp_path: Path) -> None:
    assert read(tmp_path, Path("s"), given(Path("/nowhere"))).logs == tmp_path


def test_the_address_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    environ = given(tmp_path, DAYZ_RELAY_URL="", DAYZ_RELAY_URL_FILE=str(file))
    assert read(None, Path("s"), environ).url == URL


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DAYZ_RELAY_URL", "", "DAYZ_RELAY_URL: is missing"),
        ("DAYZ_RELAY_URL", f"relay:8088/k/{KEY}", "must be an address"),
        ("DAYZ_RELAY_URL", f"ftp://relay/k/{KEY}", "must be an address"),
        ("DAYZ_RELAY_URL", f"http://relay:port/k/{KEY}", "must be an address"),
        ("DAYZ_RELAY_URL", f"http://relay/?key={KEY}", "must be an address"),
        ("DAYZ_RELAY_URL", f"http://user:{KEY}@relay/", "must be an address"),
        ("DAYZ_RELAY_URL_FILE", "/nowhere", "keep one of the two"),
        ("DAYZ_LOG_DIR", "", "DAYZ_LOG_DIR: is missing"),
        ("DAYZ_LOG_DIR", "/nowhere", "there is no folder /nowhere"),
        ("DAYZ_LOG_DENY", "good,(bad", r"'\(bad' is no regular expression"),
        ("DAYZ_LOG_DENY", "good,[bad,ugly", r"'\[bad,ugly' is no regular expression"),
        ("DAYZ_LOG_DENY", "good,x{4294967296}", r"'x\{4294967296\}' is no regular expression"),
        ("DAYZ_LOG_DENY", "good,x{3,1}", r"'x\{3,1\}' is no regular expression"),
        ("DAYZ_LOG_MAX_PER_SEC", "0", "must be a number"),
        ("DAYZ_LOG_MAX_PER_SEC", "many", "must be a number"),
    ],
)
def test_a_mistake_is_named_and_no_secret_is_shown(tmp_path: Path, name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        read(None, Path("s"), given(tmp_path) | {name: value})
    assert KEY not in str(refused.value)
