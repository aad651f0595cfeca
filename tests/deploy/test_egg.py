"""deploy/pterodactyl: an egg that a panel imports, and a server of it as Wings runs one.

The rules are those of Pterodactyl 1.11 (app/Models/Egg.php, EggVariable.php, EggExporterService.php).
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from docs import egg
from services.relay.instances.mod_config import mod_config
from services.relay.service.settings import load
from tests.deploy.dockerfile import pairs, parse, words
from tests.support.ports import free_port

EGG = json.loads(egg.PAGE.read_text())
STEPS = parse((egg.FOLDER / "Dockerfile").read_text())
KEYS = "_comment meta exported_at name author description features docker_images file_denylist startup config"
KEYS_OF_A_VARIABLE = (
    "name description env_variable default_value user_viewable user_editable rules field_type"
)
RESERVED = set("SERVER_MEMORY SERVER_IP SERVER_PORT ENV HOME USER STARTUP SERVER_UUID UUID".split())
STARTS_WITHIN_S = 60.0


def test_the_egg_is_up_to_date() -> None:
    assert egg.PAGE.read_text() == egg.page(), "run `make docs`"


def test_the_egg_has_the_shape_that_a_panel_exports() -> None:
    assert set(EGG) == {*KEYS.split(), "scripts", "variables"}
    assert EGG["meta"] == {"version": "PTDL_v2", "update_url": None}
    assert re.fullmatch(r"[^@\s]+@[^@\s]+", EGG["author"])
    assert set(EGG["config"]) == {"files", "startup", "logs", "stop"}
    for name in ("files", "startup", "logs"):
        assert isinstance(json.loads(EGG["config"][name]), dict)
    assert set(EGG["scripts"]["installation"]) == {"script", "container", "entrypoint"}
    assert "\r" not in EGG["scripts"]["installation"]["script"]
    for image in EGG["docker_images"].values():
        assert re.fullmatch(r"[\w#./\- ]*\|?~?[\w./\-:@ ]*", image) and len(image) <= 191


def test_stopping_is_a_signal_that_wings_knows_by_this_name() -> None:
    assert EGG["config"]["stop"] in {"^SIGINT", "^SIGTERM", "^SIGABRT"}


@pytest.mark.parametrize("variable", EGG["variables"], ids=lambda one: one["env_variable"])
def test_a_variable_keeps_the_rules_and_is_a_setting(variable: dict[str, object]) -> None:
    assert set(variable) == set(KEYS_OF_A_VARIABLE.split())
    name = str(variable["env_variable"])
    assert re.fullmatch(r"\w{1,191}", name) and name not in RESERVED
    assert str(variable["rules"]).split("|")[0] in {"required", "nullable"}
    value = {"TAKARO_WS_URL": "wss://h/", "RELAY_MODAPI__ADMIN_PORT": "1"}.get(name, f"https://h/{'x' * 16}")
    assert load(None, SERVER | {name: value}).warnings == ()


SERVER = {
    "TAKARO_SERVER_NAME": "Mine",
    "TAKARO_IDENTITY_TOKEN": "identity-token-0123456789",
    "TAKARO_MOD_KEY": "mod-key-0123456789",
}


def install(volume: Path, **environ: str) -> None:
    """As root in the installer's container; Wings gives the files to the server's user."""
    subprocess.run(
        ["sh", "-c", EGG["scripts"]["installation"]["script"]],
        env={"PATH": os.environ["PATH"], "SERVER_FOLDER": str(volume), **environ},
        check=True,
        capture_output=True,
    )


def test_the_installation_makes_secrets_once_and_the_file_of_the_mod(tmp_path: Path) -> None:
    install(tmp_path, SERVER_IP="203.0.113.5", SERVER_PORT="8088")
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == {"identity_token", "mod_key"} and {len(one) for one in made.values()} == {32}
    of_mod = tmp_path / "config.json"
    assert of_mod.read_text() == mod_config("http://203.0.113.5:8088", made["mod_key"]) + "\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    public = "https://relay.example.org"
    install(tmp_path, SERVER_IP="203.0.113.5", SERVER_PORT="8088", RELAY_MODAPI__PUBLIC_URL=public)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert of_mod.read_text() == mod_config(public, made["mod_key"]) + "\n"


def test_the_startup_command_runs_from_the_volume_and_ends_by_the_signal(tmp_path: Path) -> None:
    """Here as a process; `make compose-test` runs the image with the rights that Wings gives."""
    port, admin, other = free_port(), free_port(), free_port()
    install(tmp_path, SERVER_IP="127.0.0.1", SERVER_PORT=str(port))
    (environ,) = [pairs(step.text) for step in STEPS if step.name == "ENV"]
    (entrypoint,) = [words(step.text) for step in STEPS if step.name == "ENTRYPOINT"]
    assert entrypoint == ["sh", "/entrypoint.sh"]
    given = {name: text.replace("/home/container", str(tmp_path)) for name, text in environ.items()} | {
        one["env_variable"]: one["default_value"] for one in EGG["variables"]
    }
    given |= {
        "TAKARO_SERVER_NAME": "It's $mine {{too}}",
        "RELAY_MODAPI__ADMIN_PORT": str(admin),
        "RELAY_UPLINK__ADMIN_PORT": str(other),
        "SERVER_PORT": str(port),
        "STARTUP": EGG["startup"],
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            ["sh", str(egg.FOLDER / "entrypoint.sh")], cwd=tmp_path, env=given, stdout=file, stderr=file
        )
    try:
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while json.loads(EGG["config"]["startup"])["done"] not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        assert server.wait(STARTS_WITHIN_S) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()
    assert f":{port}" in log.read_text() and (tmp_path / "data" / "appendonlydir").is_dir()
    assert "It's $mine {{too}}" in log.read_text()
