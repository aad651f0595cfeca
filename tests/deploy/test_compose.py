"""docker-compose.yml: valid by the compose specification, hardened, and what its comments promise."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml

from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings, load
from services.uplink.connection.closing_times import STOP_WITHIN_S
from tests.deploy.compose import ROOT, TEXT, Missing, env_file, image, is_ours, put_in, read
from tests.support.command_line import parsed
from tests.support.redis_server import binaries

EXAMPLE = env_file(ROOT / ".env.example")
FILLED = EXAMPLE | {
    "REDIS_PASSWORD": "0123456789abcdef",
    "TAKARO_REGISTRATION_TOKEN": "registration-token",
    "TAKARO_SERVER_NAME": "My DayZ server",
    "TAKARO_IDENTITY_TOKEN": "identity-token",
    "RELAY_INSTANCE__0__MOD_KEYS": "mod-key-0123456789",
    "RELAY_MODAPI__ADMIN_TOKEN": "admin-token-0123456789",
}
DEMO = env_file(ROOT / "deploy" / "demo" / "compose.env")
FILE = read(FILLED)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = [name for name, service in SERVICES.items() if is_ours(service)]
RELAY = ["modapi", "uplink"]

WANTED = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "maxmemory": str(512 * 1024 * 1024),
}
"""Of Redis: services/ARCHITECTURE.md, "accepted means in Redis, synced to disk"."""


def settings_of(name: str, environ: dict[str, str]) -> Settings:
    """What a service of the relay takes from its container's environment, and from relay.toml."""
    compose = read(environ)
    (config,) = [mount.split(":")[0] for mount in compose["services"][name]["volumes"]]
    path = ROOT / config / "relay.toml"
    loaded = load(path if path.exists() else None, image()[0] | compose["services"][name]["environment"])
    assert loaded.warnings == ()
    return loaded.settings


@pytest.mark.parametrize("environ", [FILLED, DEMO], ids=["filled .env", "demo"])
def test_it_is_valid_by_the_compose_specification(environ: dict[str, str]) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    checker = jsonschema.validators.validator_for(schema)(schema)
    checker.validate(read(environ))
    spoiled = read(environ)
    spoiled["services"]["redis"]["helthcheck"] = {}
    assert not checker.is_valid(spoiled)


def test_without_a_password_it_says_which_line_to_fill_in() -> None:
    with pytest.raises(Missing, match=r"REDIS_PASSWORD is not set, see \.env\.example"):
        read(EXAMPLE)


def test_every_variable_is_explained_in_the_example_and_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    told = set(re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used - {"TAKARO_WS_URL"} == told
    assert set(DEMO) - {"COMPOSE_PROJECT_NAME"} <= used


def test_what_the_example_says_by_default_is_the_default() -> None:
    for name, value in re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        assert f"${{{name}:-{'' if name.startswith('RELAY_') else value}}}" in TEXT


@pytest.mark.parametrize("name", RELAY)
def test_a_filled_in_example_makes_one_complete_server(name: str) -> None:
    settings = settings_of(name, FILLED)
    (instance,) = settings.instances
    assert instance.name == "My DayZ server" and instance.registration_token and instance.mod_keys
    assert settings.redis.url and "0123456789abcdef@redis:6379" in settings.redis.url.get_secret_value()
    assert settings.takaro.url == "wss://connect.takaro.io/"


@pytest.mark.parametrize("environ", [FILLED, DEMO], ids=["filled .env", "demo"])
def test_the_page_can_be_opened(environ: dict[str, str]) -> None:
    """In a container it is on no loopback address, and without a token it shows itself to nobody."""
    assert settings_of("modapi", environ).modapi.admin_token


def test_the_servers_of_the_demo_have_keys_that_open() -> None:
    settings = settings_of("modapi", DEMO)
    keys = {key.get_secret_value() for instance in settings.instances for key in instance.mod_keys}
    mods = [name for name in OURS if name.startswith("demo-") and name != "demo-takaro"]
    commands = [SERVICES[name]["command"] for name in mods]
    urls = {command[command.index("--url") + 1] for command in commands}
    assert urls == {f"http://modapi:{settings.modapi.port}/k/{key}" for key in keys}
    assert settings == settings_of("uplink", DEMO)


def test_the_takaro_of_the_demo_is_where_uplink_looks_for_it() -> None:
    args = parsed(SERVICES["demo-takaro"]["command"])
    settings = settings_of("uplink", DEMO)
    assert settings.takaro.url == f"ws://demo-takaro:{args['port']}/" and args["host"] == "0.0.0.0"
    token = settings.takaro.registration_token
    assert token and args["registration_token"] == token.get_secret_value()


@pytest.mark.parametrize("name", OURS)
def test_the_command_exists(name: str) -> None:
    parsed(SERVICES[name]["command"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_limited(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user", image()[2] if is_ours(service) else "")
    assert user and not user.startswith(("0", "root"))
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert "max-size" in service["logging"]["options"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in RELAY])
def test_every_health_check_is_a_command_of_its_image(name: str) -> None:
    """Those of modapi and uplink come with their image: `make image-test` lets them answer."""
    check = SERVICES[name]["healthcheck"]
    if is_ours(SERVICES[name]):
        assert check == {"disable": True}
        return
    kind, *command = check["test"]
    assert kind in ("CMD", "CMD-SHELL")
    if kind == "CMD-SHELL":
        subprocess.run(["sh", "-n", "-c", *command], check=True)
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


def test_several_uplinks_can_run() -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES["uplink"].keys()
    assert SERVICES["uplink"].get("volumes") == ["./config:/config:ro"]
    assert SERVICES["uplink"]["deploy"]["replicas"] == "1"
    assert read(FILLED | {"UPLINKS": "3"})["services"]["uplink"]["deploy"]["replicas"] == "3"


def test_what_is_published_is_published_to_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "modapi": ["127.0.0.1:8088:8088", "127.0.0.1:9088:9088"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert FILE["networks"]["store"] == {"internal": True}
    in_store = {name for name, service in SERVICES.items() if "store" in service.get("networks", [])}
    assert in_store == {"redis", *RELAY} and SERVICES["redis"]["networks"] == ["store"]


def test_without_a_profile_only_the_relay_runs() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"redis", *RELAY}
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == {
        "monitoring",
        "demo",
    }


def test_images_are_exact() -> None:
    foreign = [service["image"] for service in SERVICES.values() if not is_ours(service)]
    assert all(
        re.fullmatch(r"[a-z]+(/[a-z]+)?:v?\d+\.\d+\.\d+(-[a-z]+)?(@sha256:[0-9a-f]{64})?", one)
        for one in foreign
    )
    assert re.fullmatch(r"redis:8\..*@sha256:.*", SERVICES["redis"]["image"])


def test_what_is_mounted_is_there() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    sources = {mount.split(":")[0] for mount in mounts} - {"./config"}
    assert {source for source in sources if not source.startswith(".")} == set(FILE["volumes"])
    assert all((ROOT / source).is_dir() for source in sources if source.startswith("."))


def test_prometheus_asks_every_replica_at_the_port_of_its_service() -> None:
    asked = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    by_dns = {job["job_name"]: job["dns_sd_configs"][0] for job in asked if "dns_sd_configs" in job}
    environ = image()[0]
    for name in RELAY:
        assert by_dns[name]["names"] == [name] and by_dns[name]["type"] == "A"
        assert str(by_dns[name]["port"]) == environ[f"RELAY_{name.upper()}__ADMIN_PORT"]
        assert environ[f"RELAY_{name.upper()}__ADMIN_HOST"] == "0.0.0.0"


def test_grafana_finds_its_folders_where_they_are_mounted() -> None:
    (mount,) = [one for one in SERVICES["grafana"]["volumes"] if one.startswith(".")]
    source, target, _ = mount.split(":")
    assert SERVICES["grafana"]["environment"]["GF_PATHS_PROVISIONING"] == f"{target}/provisioning"
    (provider,) = (ROOT / source / "provisioning" / "dashboards").glob("*.yml")
    assert yaml.safe_load(provider.read_text())["providers"][0]["options"]["path"] == f"{target}/dashboards"


@pytest.fixture(params=["valkey", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The very command of the file, in a folder and on a socket of its own."""
    binary = binaries().get(request.param)
    if binary is None:
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    (tmp_path / "redis-server").symlink_to(binary)
    shell, option, script = put_in(yaml.safe_load(TEXT)["services"]["redis"]["command"], FILLED)
    assert "\ndir /data\n" in script
    script = script.replace("\ndir /data\n", f"\ndir {tmp_path}\nport 0\nunixsocket {tmp_path}/s\n")
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": FILLED["REDIS_PASSWORD"]}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([shell, option, script], env=environ, stdout=log, stderr=log)
    yield process, tmp_path / "s"
    process.kill()
    process.wait()


def test_redis_loses_nothing_asks_for_its_password_and_shows_it_to_nobody(
    store: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, socket = store
    until_there(socket)
    with redis.Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    password = FILLED["REDIS_PASSWORD"]
    with redis.Redis(unix_socket_path=str(socket), password=password, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in WANTED} == WANTED
    assert password.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def until_there(socket: Path) -> None:
    deadline_s = time.monotonic() + 10
    while not socket.exists():
        assert time.monotonic() < deadline_s, (socket.parent / "log").read_text()
        time.sleep(0.02)


def test_every_line_of_the_example_can_be_used() -> None:
    """As a person would who takes all the # away."""
    text = (ROOT / ".env.example").read_text()
    given = dict(re.findall(r"^#(RELAY_\w+)=(.+)$", text, re.MULTILINE))
    assert set(given) == set(re.findall(r"^#(RELAY_\w+)=", text, re.MULTILINE))
    environ = read(FILLED | given)["services"]["modapi"]["environment"]
    # A service may look for the certificate, which is not on this machine, and complain of that alone.
    try:
        assert load(None, image()[0] | environ).warnings == ()
    except ConfigError as refused:
        assert all(line.startswith("RELAY_MODAPI__TLS_") for line in str(refused).splitlines())


def test_uplink_is_stopped_while_mods_can_still_bring_results_and_has_the_time_for_it() -> None:
    assert {"modapi", "redis"} <= set(SERVICES["uplink"]["depends_on"])
    assert "redis" in SERVICES["modapi"]["depends_on"]
    for name in RELAY:
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > STOP_WITHIN_S + 2
