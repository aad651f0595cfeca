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

from services.cli import doctor_here
from services.cli.terminal import COMMAND_VARIABLE
from services.relay.instances.mod_config import mod_url
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings, load
from services.relay.store.url import parse
from services.uplink.connection.closing_times import STOP_WITHIN_S
from tests.deploy.compose import ROOT, TEXT, env_file, image, is_ours, put_in, read
from tests.support.command_line import parsed
from tests.support.redis_server import binaries

EXAMPLE = env_file(ROOT / ".env.example")
FILLED = EXAMPLE | {"TAKARO_SERVER_NAME": "My DayZ server"}
SECRETS = {
    "redis_password": '0123456789/#?%\\"$',
    "admin_token": "admin-token-0123456789",
    "registration_token": "registration-token",
    "identity_token": "identity-token",
    "mod_key": "mod-key-0123456789",
    "discord_url": "",
    "grafana_password": "grafana",
}
"""As ./setup.sh writes them, and a password with all that could be read in another way."""
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


def variables_of(name: str, environ: dict[str, str], folder: Path) -> dict[str, str]:
    """The environment of a container. Its secrets are in `folder`."""
    compose = read(environ)
    service = compose["services"][name]
    for secret in service["secrets"]:
        source = Path(compose["secrets"][secret]["file"])
        text = SECRETS[secret] if source.parent == Path("secrets") else (ROOT / source).read_text()
        (folder / secret).write_text(text)
    return {
        variable: text.replace("/run/secrets", str(folder))
        for variable, text in (image()[0] | service["environment"]).items()
    }


def settings_of(name: str, environ: dict[str, str], folder: Path) -> Settings:
    """What a service takes from its container's environment, its secrets, and relay.toml."""
    (config,) = [mount["source"] for mount in read(environ)["services"][name]["volumes"]]
    path = ROOT / config / "relay.toml"
    loaded = load(path if path.exists() else None, variables_of(name, environ, folder))
    assert loaded.warnings == ()
    return loaded.settings


@pytest.mark.parametrize("environ", [FILLED, DEMO], ids=["filled .env", "demo"])
def test_the_compose_file_is_valid(environ: dict[str, str]) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    checker = jsonschema.validators.validator_for(schema)(schema)
    checker.validate(read(environ))
    spoiled = read(environ)
    spoiled["services"]["redis"]["helthcheck"] = {}
    assert not checker.is_valid(spoiled)


def test_every_secret_is_one_file_that_a_service_reads() -> None:
    assert {name: entry["file"] for name, entry in FILE["secrets"].items()} == {
        name: f"./secrets/{name}" for name in SECRETS
    }
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(SECRETS)
    for service in SERVICES.values():
        environ = service.get("environment", {})
        of_secrets = [name for name in environ if re.search("PASSWORD|TOKEN|MOD_KEY|DISCORD", name)]
        assert all(name.endswith("_FILE") for name in of_secrets)
        named = {text.removeprefix("/run/secrets/") for text in environ.values() if "/run/secrets/" in text}
        assert named <= set(service.get("secrets", []))


def test_the_image_is_built_once() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["modapi"]
    assert {SERVICES[name]["image"] for name in OURS} == {"dayz-relay:local"}


def test_every_variable_is_explained_in_the_example_and_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    told = set(re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used - {"TAKARO_WS_URL", "CONFIG_DIR", "SECRETS_DIR"} == told  # these are for the demo and tests
    assert set(DEMO) - {"COMPOSE_PROJECT_NAME"} <= used


def test_what_the_example_says_by_default_is_the_default() -> None:
    for name, value in re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        assert f"${{{name}:-" + ("" if name.startswith("RELAY_") else f"{value}}}") in TEXT


@pytest.mark.parametrize("name", RELAY)
def test_a_filled_in_example_makes_one_complete_server(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, FILLED, tmp_path)
    (instance,) = settings.instances
    assert instance.name == "My DayZ server" and instance.registration_token and instance.mod_keys
    assert settings.redis.url
    address = parse(settings.redis.url.get_secret_value())
    assert (address.login.password, str(address.endpoints[0])) == (SECRETS["redis_password"], "redis:6379")
    assert settings.takaro.url == "wss://connect.takaro.io/"


@pytest.mark.parametrize("environ", [FILLED, DEMO], ids=["filled .env", "demo"])
def test_the_page_can_be_opened(environ: dict[str, str], tmp_path: Path) -> None:
    """In a container it is on no loopback address, and without a token it shows itself to nobody."""
    assert settings_of("modapi", environ, tmp_path).modapi.admin_token


def test_the_config_of_a_mod_names_the_port_that_is_published(tmp_path: Path) -> None:
    for environ, url in (
        ({}, "http://127.0.0.1:8088"),
        ({"MODS_PORT": "8099"}, "http://127.0.0.1:8099"),
        ({"RELAY_MODAPI__PUBLIC_URL": "https://relay.example.org"}, "https://relay.example.org"),
    ):
        assert mod_url(settings_of("modapi", FILLED | environ, tmp_path).modapi) == url


def test_a_self_hosted_takaro_is_named_in_env(tmp_path: Path) -> None:
    for name in RELAY:
        settings = settings_of(name, FILLED | {"RELAY_TAKARO__URL": "ws://takaro.example.org/"}, tmp_path)
        assert settings.takaro.url == "ws://takaro.example.org/"


def test_no_registry_is_asked_for_the_image_that_is_built_here() -> None:
    assert [name for name in OURS if "build" in SERVICES[name]] == ["modapi"]
    assert {SERVICES[name].get("pull_policy") for name in OURS if name != "modapi"} == {"never"}


def test_the_demo_leaves_the_image_of_a_relay_beside_it_alone() -> None:
    assert read(DEMO)["services"]["modapi"]["image"] != SERVICES["modapi"]["image"]


def test_the_servers_of_the_demo_have_keys_that_open(tmp_path: Path) -> None:
    settings = settings_of("modapi", DEMO, tmp_path)
    keys = {key.get_secret_value() for instance in settings.instances for key in instance.mod_keys}
    mods = [name for name in OURS if name.startswith("demo-") and name != "demo-takaro"]
    commands = [SERVICES[name]["command"] for name in mods]
    urls = {command[command.index("--url") + 1] for command in commands}
    assert urls == {f"http://modapi:{settings.modapi.port}/k/{key}" for key in keys}
    assert settings == settings_of("uplink", DEMO, tmp_path)


def test_the_takaro_of_the_demo_is_where_uplink_looks_for_it(tmp_path: Path) -> None:
    args = parsed(SERVICES["demo-takaro"]["command"])
    settings = settings_of("uplink", DEMO, tmp_path)
    assert settings.takaro.url == f"ws://demo-takaro:{args['port']}/" and args["host"] == "0.0.0.0"
    token = settings.takaro.registration_token
    assert token and args["registration_token"] == token.get_secret_value()


@pytest.mark.parametrize("name", OURS)
def test_the_command_exists(name: str) -> None:
    parsed(SERVICES[name]["command"])


FOR_FILES_OF_OTHERS = {
    "backup": {"CHOWN", "DAC_OVERRIDE"},
    "setup": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
}
"""What runs as root, because it writes files of other users, with the rights that this needs."""


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_limited(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user", image()[2] if is_ours(service) else "")
    assert user and (not user.startswith(("0", "root")) or name in FOR_FILES_OF_OTHERS)
    assert set(service.get("cap_add", [])) == FOR_FILES_OF_OTHERS.get(name, set())
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in ("cli", "setup") else "unless-stopped")
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert "max-size" in service["logging"]["options"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in RELAY])
def test_every_health_check_is_a_command_of_its_image(name: str) -> None:
    """Those of modapi and uplink come with their image: `make image-test` lets them answer."""
    check = SERVICES[name]["healthcheck"]
    if is_ours(SERVICES[name]) or name == "setup":
        assert check == {"disable": True}
        return
    kind, *command = check["test"]
    assert kind in ("CMD", "CMD-SHELL")
    if kind == "CMD-SHELL":
        subprocess.run(["sh", "-n", "-c", *command], check=True)
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


def test_doctor_looks_for_the_services_where_they_are() -> None:
    assert list(doctor_here.COMPOSE_HOSTS.values()) == RELAY
    assert all({"default"} <= set(SERVICES[name]["networks"]) for name in (*RELAY, "cli"))
    assert SERVICES["cli"]["environment"][COMMAND_VARIABLE] == "docker compose run --rm cli"


def test_several_uplinks_can_run() -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES["uplink"].keys()
    assert [mount["read_only"] for mount in SERVICES["uplink"]["volumes"]] == [True]
    assert SERVICES["uplink"]["deploy"]["replicas"] == "1"
    assert read(FILLED | {"UPLINKS": "3"})["services"]["uplink"]["deploy"]["replicas"] == "3"


def test_ports_are_published_to_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "modapi": ["127.0.0.1:8088:8088", "127.0.0.1:9088:9088"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    for name in ("MODS_PORT", "ADMIN_PORT"):
        assert all(
            one.startswith("127.0.0.1:") for one in read(FILLED | {name: "1"})["services"]["modapi"]["ports"]
        )
    assert FILE["networks"]["store"] == {"internal": True}
    in_store = {name for name, service in SERVICES.items() if "store" in service.get("networks", [])}
    assert in_store == {"redis", "cli", "backup", *RELAY} and SERVICES["redis"]["networks"] == ["store"]


def test_without_a_profile_only_the_relay_runs() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"redis", *RELAY}
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == {
        "monitoring",
        "demo",
        "cli",
        "backup",
        "setup",
    }


def test_images_are_exact() -> None:
    foreign = [service["image"] for service in SERVICES.values() if not is_ours(service)]
    assert all(
        re.fullmatch(r"[a-z]+(/[a-z]+)?:v?\d+\.\d+\.\d+(-[a-z]+)?(@sha256:[0-9a-f]{64})?", one)
        for one in foreign
    )
    assert re.fullmatch(r"redis:8\..*@sha256:.*", SERVICES["redis"]["image"])


def test_every_mounted_file_exists() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    made_by_setup = [mount for mount in mounts if isinstance(mount, dict)]
    assert {mount["source"] for mount in made_by_setup} == {"./config", "./backups"}
    # The engine would make a missing folder, as root.
    assert all(mount["bind"] == {"create_host_path": False} for mount in made_by_setup)
    sources = {mount.split(":")[0] for mount in mounts if isinstance(mount, str)}
    assert {source for source in sources if not source.startswith(".")} == set(FILE["volumes"])
    assert all((ROOT / source).exists() for source in sources if source.startswith("."))


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
    password = tmp_path / "password"
    password.write_text(SECRETS["redis_password"])
    script = script.replace("/run/secrets/redis_password", str(password))
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
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
    password = SECRETS["redis_password"]
    with redis.Redis(unix_socket_path=str(socket), password=password, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in WANTED} == WANTED
    assert password.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def until_there(socket: Path) -> None:
    deadline_s = time.monotonic() + 60
    while not socket.exists():
        assert time.monotonic() < deadline_s, (socket.parent / "log").read_text()
        time.sleep(0.02)


def test_every_line_of_the_example_can_be_used(tmp_path: Path) -> None:
    """As a person would who takes all the # away."""
    text = (ROOT / ".env.example").read_text()
    given = dict(re.findall(r"^#(RELAY_\w+)=(.+)$", text, re.MULTILINE))
    assert set(given) == set(re.findall(r"^#(RELAY_\w+)=", text, re.MULTILINE))
    # A service may look for the certificate, which is not on this machine, and complain of that alone.
    try:
        assert load(None, variables_of("modapi", FILLED | given, tmp_path)).warnings == ()
    except ConfigError as refused:
        assert all(line.startswith("RELAY_MODAPI__TLS_") for line in str(refused).splitlines())


def test_uplink_is_stopped_while_mods_can_still_bring_results_and_has_the_time_for_it() -> None:
    assert {"modapi", "redis"} <= set(SERVICES["uplink"]["depends_on"])
    assert "redis" in SERVICES["modapi"]["depends_on"]
    for name in RELAY:
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > STOP_WITHIN_S + 2
