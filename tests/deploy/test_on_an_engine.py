"""docker-compose.yml on a real engine: `make compose-test`. The tests use one project, in this order."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.egg import STARTED
from tests.deploy.clone import IMAGE, OWNER, SERVICE, Project, SteadyMod, clone
from tests.deploy.compose import ROOT
from tests.deploy.engine import NoEngine
from tests.deploy.test_egg import EGG, install
from tests.deploy.which_engine import engine
from tests.support.ports import free_port

pytestmark = [pytest.mark.compose, pytest.mark.timeout(600)]

NAME = 'Müller\'s DayZ #1 "PvP" $hop | x'
PASSWORD = '/#?%\\"$:@ x'
RELAY = ["redis", "modapi", "uplink"]
PAGE = (ROOT / "docs" / "compose.md").read_text()
UPGRADE = ["docker compose build", "docker compose stop uplink && docker compose up --detach --wait"]
DROPPED_BY_WINGS = (
    "setpcap mknod audit_write net_raw dac_override fowner fsetid net_bind_service sys_chroot setfcap".split()
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """What the three steps lead to, with a simulated Takaro beside it."""
    try:
        with engine() as found:
            made = clone(
                found,
                tmp_path_factory.mktemp("clone"),
                COMPOSE_PROJECT_NAME="dayz-relay-test",
                MODS_PORT=str(free_port()),
                ADMIN_PORT=str(free_port()),
                TAKARO_WS_URL="ws://demo-takaro:8090/",
            )
            try:
                start(made)
                yield made
            finally:
                made.compose("--profile", "*", "down", "--volumes", "--timeout", "1", check=False)
                found.docker("image", "rm", "--force", IMAGE, check=False)
    except NoEngine as reason:
        pytest.skip(str(reason))


def start(made: Project) -> None:
    environ = {"TAKARO_SERVER_NAME": NAME, "TAKARO_REGISTRATION_TOKEN": "demo-registration-token"}
    subprocess.run(
        [made.folder / "setup.sh"],
        env=environ | {"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    (made.folder / "secrets" / "redis_password").write_text(PASSWORD)
    made.compose("up", "--build", "--detach", "--wait")
    made.compose("--profile", "demo", "up", "--detach", "--no-deps", "demo-takaro")


def healthy(made: Project) -> bool:
    running = made.containers()
    return running.keys() >= set(RELAY) and all(
        made.inspect(name, "{{.State.Health.Status}}") == "healthy" for name in RELAY
    )


@pytest.fixture(scope="module")
def mod(relay: Project) -> SteadyMod:
    return SteadyMod(relay)


def kill(made: Project, service: str) -> None:
    """As the kernel would. What `docker kill` ends, an engine does not start again."""
    pid = made.inspect(service, "{{.State.Pid}}")
    as_root = ["--pid", "host", "--user", "0", "--network", "none", "--entrypoint", "sh"]
    made.engine.docker("run", "--rm", *as_root, IMAGE, "-c", f"kill -9 {pid}")
    made.until(lambda: made.inspect(service, "{{.State.Pid}}") not in (pid, "0"))


def starts(made: Project, since: str) -> list[str]:
    """The services whose containers have started since then, once for each start."""
    now = f"{time.time():.3f}"
    events = made.engine.docker(
        "events", "--since", since, "--until", now, "--filter", "event=start", "--format", "{{json .Actor}}"
    )
    actors = [json.loads(line)["Attributes"] for line in events.splitlines()]
    return sorted(str(one[SERVICE]) for one in actors)


def test_three_steps_lead_to_a_server_that_is_linked_by_its_whole_name(relay: Project) -> None:
    relay.until(lambda: f"{NAME}: identified" in relay.logs("demo-takaro"))
    relay.until(lambda: healthy(relay))
    assert (
        f"    {NAME}\n"
        in subprocess.run(
            [relay.folder / "setup.sh"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ).stdout
    )


def test_no_event_is_lost_when_each_part_is_killed(relay: Project, mod: SteadyMod) -> None:
    with mod.sending():
        for service in RELAY:
            kill(relay, service)
            mod.wait_for(mod.accepted + 20)
    sent = set(range(1, mod.accepted + 1))
    assert len(sent) >= 60
    relay.until(lambda: sent <= relay.delivered())


def test_a_second_up_starts_nothing_anew(relay: Project) -> None:
    before = relay.containers()
    relay.compose("up", "--build", "--detach")
    assert relay.containers() == before


def test_the_upgrade_starts_each_service_once(relay: Project) -> None:
    assert all(line in PAGE for line in UPGRADE)
    with (relay.folder / "deploy" / "healthcheck.py").open("a") as file:  # what is built last
        file.write("# a newer version\n")
    since, before = f"{time.time():.3f}", relay.containers()
    for line in UPGRADE:
        for command in line.split(" && "):
            relay.compose(*command.split()[2:])
    assert starts(relay, since) == ["modapi", "uplink"]
    assert relay.containers()["redis"] == before["redis"]


def test_commands_have_a_memory_limit_of_their_own(relay: Project) -> None:
    relay.until(lambda: NAME[:20] in relay.compose("run", "--rm", "cli", "status", check=False))
    in_effect = relay.compose("run", "--rm", "cli", "check")
    assert f"name = {json.dumps(NAME, ensure_ascii=False)}" in in_effect
    # What the commands tell a mod: the port that is published, not that of the container.
    assert f'public_url = "http://127.0.0.1:{relay.environ["MODS_PORT"]}"' in in_effect
    limits = relay.compose("--profile", "cli", "config", "--format", "json")
    assert json.loads(limits)["services"]["cli"]["deploy"]["resources"]["limits"]["memory"]


def test_a_copy_of_redis_brings_back_what_waited_for_takaro(relay: Project, mod: SteadyMod) -> None:
    relay.compose("stop", "demo-takaro")
    first = mod.accepted + 1
    relay.until(lambda: mod.send() or mod.accepted >= first + 4)
    relay.compose("run", "--rm", "backup", "now")
    (copy,) = (relay.folder / "backups").glob("*.tar.gz")
    refused = relay.compose("run", "--rm", "backup", "restore", copy.name, check=False)
    assert "Redis runs: docker compose stop" in refused
    relay.compose("--profile", "demo", "down", "--volumes")
    relay.compose("run", "--rm", "backup", "restore", copy.name)
    relay.compose("up", "--detach")
    relay.compose("--profile", "demo", "up", "--detach", "--no-deps", "demo-takaro")
    relay.until(lambda: set(range(first, mod.accepted + 1)) <= relay.delivered())


def test_an_egg_runs_with_the_rights_that_wings_gives(relay: Project, tmp_path: Path) -> None:
    """environment/docker/container.go of Wings: no rights, nothing to write to but its volume and /tmp."""
    image = "dayz-relay:wings-test"
    folder = str(relay.folder / "deploy" / "pterodactyl")
    relay.engine.docker("build", "--network=none", "--build-arg", f"IMAGE={IMAGE}", "--tag", image, folder)
    install(tmp_path, SERVER_IP="127.0.0.1", SERVER_PORT="8099")
    user = OWNER if os.geteuid() == 0 else os.geteuid()
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, user, -1)
    limits = [
        "--user",
        f"{user}:{user}",
        "--read-only",
        "--security-opt",
        "no-new-privileges",
        "--network",
        "none",
    ]
    limits += [word for name in DROPPED_BY_WINGS for word in ("--cap-drop", name)]
    places = ["--tmpfs", "/tmp:rw,exec,nosuid,size=100M", "--volume", f"{tmp_path}:/home/container"]
    given = {"STARTUP": EGG["startup"], "SERVER_PORT": "8099", "TAKARO_SERVER_NAME": NAME}
    environ = [word for item in given.items() for word in ("--env", "=".join(item))]
    server = relay.engine.docker("run", "--detach", "--tty", *limits, *places, *environ, image).strip()
    try:
        relay.until(lambda: STARTED in relay.engine.docker("logs", server))
        relay.engine.docker("kill", "--signal", EGG["config"]["stop"].removeprefix("^"), server)
        assert relay.engine.docker("wait", server).strip() == "0"
        assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {user}
    finally:
        relay.engine.docker("rm", "--force", server, check=False)
        relay.engine.docker("image", "rm", "--force", image, check=False)


@pytest.mark.parametrize("wrong", ["9088", "127.0.0.1:9088"])
def test_an_address_with_a_port_publishes_nothing(relay: Project, wrong: str) -> None:
    assert "invalid ip address" in relay.compose("config", check=False, ADMIN_ADDRESS=wrong).lower()


def test_a_missing_or_closed_config_folder_is_reported_in_one_line(relay: Project) -> None:
    """Closed to its owner, too: the relay's containers run as user 1000, as the first user of most Linux
    machines does. Where that user runs this test, a folder open to its owner is open to the relay."""
    config = relay.folder / "config"
    try:
        if os.geteuid() == 0:
            os.chown(config, 1000, -1)
        config.chmod(0)
        told = relay.compose("run", "--rm", "cli", "check", check=False)
        assert "relay.toml: cannot be looked at: Permission denied" in told and "Traceback" not in told
        config.rmdir()
        assert "config" in relay.compose("run", "--rm", "cli", "check", check=False)
        assert not config.exists()
    finally:
        shutil.rmtree(config, ignore_errors=True)
        config.mkdir(mode=0o755)
        os.chown(config, relay.folder.stat().st_uid, -1)


def test_the_line_that_removes_the_demo_leaves_nothing(relay: Project) -> None:
    (line,) = re.findall(r"`docker compose (--env-file .* down --volumes)`", PAGE)
    demo = ("--env-file", "deploy/demo/compose.env")
    environ = {"COMPOSE_PROJECT_NAME": "dayz-relay-demo"}
    relay.compose(*demo, "--profile", "demo", "--profile", "monitoring", "create", **environ)
    of_demo = ("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=dayz-relay-demo")
    assert len(relay.engine.docker(*of_demo).split()) == 9
    relay.compose(*line.split(), **environ)
    assert relay.engine.docker(*of_demo) == ""


def test_each_service_ends_by_itself_when_it_is_stopped(relay: Project) -> None:
    ids = relay.containers()
    relay.compose("stop")
    for service in RELAY:
        assert relay.engine.docker("inspect", "--format", "{{.State.ExitCode}}", ids[service]).strip() == "0"


def test_a_command_starts_nothing_that_was_stopped(relay: Project) -> None:
    relay.compose("stop")
    since = f"{time.time():.3f}"
    relay.compose("run", "--rm", "cli", "check")
    assert starts(relay, since) == ["cli"]


def test_all_files_belong_to_the_owner_of_the_clone(relay: Project) -> None:
    owner = relay.folder.stat().st_uid
    assert owner == (OWNER if os.geteuid() == 0 else os.geteuid())
    of_others = [path for path in relay.folder.rglob("*") if path.stat().st_uid != owner]
    assert of_others == []
