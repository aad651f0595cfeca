"""Each secret has a unique value. Every path is run, failures and crashes too, and no output may have a
secret."""

import asyncio
import base64
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.hostile import raising
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries
from tests.support.relay_process import RelayProcess, Service
from tests.support.waiting import until, until_other_processes

REGISTRATION = "Planted-registration-7f1c"
SECRETS = {
    "registration token": REGISTRATION,
    "own registration token": "Planted-own-registration-e2",
    "identity token": 'Planted identity: "quoted", 9d',
    "second identity token": "Planted-second-identity-51",
    "mod key": "Planted-mod-key-0123456789-a4",
    "second mod key": "Planted-mod-key-9876543210-b7",
    "admin token": "Planted-admin-token-33aa",
    "redis password": "Planted/redis?pw#6c",
    "proxy password": "Planted-proxy-pw-0d",
    "webhook": "api/webhooks/1/Planted-webhook-path-88",
}
ADMIN = {"authorization": f"Bearer {SECRETS['admin token']}"}
FORGED = "04:12:33 uplink INFO    [main] forged by a player"
HOSTILE_TEXT = f'Eve\r\n{FORGED}\x1b[2J"}} planted-by-a-player'


def leaks(text: str) -> list[str]:
    """The names of the secrets that are in `text`, in any spelling."""
    return [name for name, secret in SECRETS.items() if any(spelt in text for spelt in spellings(secret))]


def spellings(secret: str) -> set[str]:
    in_base64 = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        repr(secret)[1:-1],
        secret.replace('"', '\\"'),
        in_base64,
    }


def relay_toml(text: str, redis_url: str) -> str:
    """The settings of a RelayProcess with all secrets."""
    text = re.sub(r'\[redis\]\nurl = ".*"', f'[redis]\nurl = "{redis_url}"', text)
    text += f'[alerts]\nwebhook_url = "http://127.0.0.1:1/{SECRETS["webhook"]}"\n'
    return text.replace("[modapi]\n", f'[modapi]\nadmin_token = "{SECRETS["admin token"]}"\n')


def blocks() -> list[str]:
    identity = SECRETS["identity token"].replace('"', '\\"')
    return [
        f'slug = "main"\nname = "Main server"\nidentity_token = "{identity}"\n'
        f'mod_keys = ["{SECRETS["mod key"]}"]\n',
        f'slug = "second"\nname = "Second server"\nidentity_token = "{SECRETS["second identity token"]}"\n'
        f'mod_keys = ["{SECRETS["second mod key"]}"]\n'
        f'registration_token = "{SECRETS["own registration token"]}"\n',
    ]


class SecretsWorld:
    """A relay with all secrets, its Takaro, and all of its output."""

    def __init__(self, takaro: FaultyTakaro, relay: RelayProcess) -> None:
        self.takaro, self.relay = takaro, relay
        self.told: list[str] = []
        self._calls: list[Coroutine[Any, Any, httpx.Response]] = []
        self.client = httpx.AsyncClient(verify=False, timeout=30)

    @property
    def services(self) -> tuple[Service, Service]:
        return self.relay.modapi, self.relay.uplink

    async def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Makes a call, and keeps its answer for the search."""
        answer = await self.client.request(method, url, **more)
        self.told.append(f"{answer.headers} {answer.text}")
        return answer

    def _soon(self, method: str, url: str, **more: Any) -> None:
        self._calls.append(self.ask(method, url, **more))

    async def look_at_everything(self) -> None:
        """Makes all calls of a relay, with and without the right secrets."""
        base, key = self.relay.url, SECRETS["mod key"]
        for service in self.services:
            for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/nothing"):
                self._soon("GET", service.admin + path)
            self.told.append(command_line(service.pid))
        for path in (
            f"/k/{key}/health",
            "/health",
            f"/health?key={key}",
            f"/k/{key}x/health",
            "/openapi.json",
        ):
            self._soon("GET", base + path)
        for path in (
            f"/k/{key}/gameserver/x/poll",
            f"/gameserver/x/poll?key={key}",
            f"/k/{key}1/gameserver/x/poll",
        ):
            self._soon("GET", base + path)
        event = {"type": "player-connected", "msg": HOSTILE_TEXT, "player": player()}
        for body in (
            {"events": [event, {**event, "type": "chat-message"}, {"type": HOSTILE_TEXT}]},
            "{[",
            [1],
        ):
            self._soon("POST", f"{base}/k/{key}/gameserver/x/events", json=body)
        self._soon("POST", f"{base}/gameserver/x/events", headers={"authorization": f"Bearer {key}"}, json=[])
        self._soon("POST", f"{base}/k/{key}/gameserver/x/operation/{HOSTILE_TEXT[:3]}/result", content=b"{")
        self._panel()
        await asyncio.gather(*self._calls)
        self._calls.clear()

    def _panel(self) -> None:
        api = self.relay.modapi.admin + "/api/instances"
        for headers in ({}, ADMIN, {"authorization": f"Bearer {SECRETS['admin token']}x"}):
            self._soon("GET", api, headers=headers)
            self._soon("GET", f"{self.relay.modapi.admin}/api/openapi.json", headers=headers)
        identity, registration = SECRETS["identity token"], SECRETS["own registration token"]
        for body in (
            {"slug": "x", "name": "x", "identity_token": identity, "registration_token": registration},
            {"slug": identity, "name": registration, "identity_token": identity},
            {"slug": "third", "name": "Third", "identity_token": identity},  # it is taken
            {"slug": "main", "name": "Third", "registration_token": [registration]},
            [identity],
            {identity: identity},
        ):
            self._soon("POST", api, headers=ADMIN, json=body)
        for path in ("/main", "/second", f"/{SECRETS['mod key']}", "/main/rotate"):
            self._soon("GET", api + path, headers=ADMIN)
            self._soon("PATCH", api + path, headers=ADMIN, json={"registration_token": registration})
            self._soon("POST", api + path, headers=ADMIN, json={"overlap_s": registration})

    def found(self) -> dict[str, list[str]]:
        """The secrets that were found, by where they are."""
        texts = {f"answer {number}": text for number, text in enumerate(self.told)}
        texts |= {service.label: service.log for service in self.services}
        return {name: leaks(text) for name, text in texts.items() if leaks(text)}


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def player() -> dict[str, str]:
    return {
        "gameId": "76561198000000001",
        "name": HOSTILE_TEXT,
        "ip": HOSTILE_TEXT,
        "platformId": HOSTILE_TEXT,
    }


@pytest_asyncio.fixture
async def world() -> AsyncIterator[SecretsWorld]:
    tokens = {REGISTRATION, SECRETS["own registration token"]}
    async with FaultyTakaro(registration_tokens=tokens) as takaro:
        relay = RelayProcess(takaro.url, blocks(), REGISTRATION)
        password = SECRETS["redis password"]
        users = [f"relay on >{password} ~* &* +@all", "default on nopass ~* &* +@all"]
        relay.store.remove()
        relay.store = RedisServer(binaries()["valkey"], users=users)
        config = relay.folder / "relay.toml"
        url = f"unix://relay:{quote(password, safe='')}@{relay.store.socket}"
        config.write_text(relay_toml(config.read_text(), url))
        made = SecretsWorld(takaro, relay)
        try:
            await relay.start()
            yield made
        finally:
            await made.client.aclose()
            await relay.stop()


async def linked(world: SecretsWorld) -> None:
    for name in ("identity token", "second identity token"):
        await world.takaro.wait_for(lambda name=name: world.takaro.is_connected(SECRETS[name]), 20)


async def test_no_output_has_a_secret_while_the_relay_runs_and_stops(world: SecretsWorld) -> None:
    await linked(world)
    await world.look_at_everything()
    for service in world.services:
        assert await service.stop() == 0
    assert world.found() == {}
    assert "linked to Takaro" in world.relay.uplink.log


async def test_a_player_cannot_write_lines_of_the_log_or_labels(world: SecretsWorld) -> None:
    await linked(world)
    await world.look_at_everything()
    for service in world.services:
        text = (await world.client.get(f"{service.admin}/metrics")).text
        labels = {
            value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            for value in sample.labels.values()
        }
        assert len(labels) > 20
        assert not [value for value in labels if "Eve" in value or "planted" in value or len(value) > 80]
        assert not [value for value in labels if leaks(value)]
        assert not any(line.startswith(FORGED) for line in service.log.splitlines())
        assert "\x1b" not in service.log


async def test_an_error_of_takaro_with_our_secrets_reveals_none(world: SecretsWorld) -> None:
    await linked(world)
    everything = " ".join(secret for name, secret in SECRETS.items() if name != "proxy password")
    world.takaro.faults.refuse_identify(f"registrationToken {everything} is wrong: {everything[:40]}")
    await world.relay.uplink.restart_after_crash()
    await until(lambda: "is wrong" in world.relay.uplink.log, 60)
    await world.look_at_everything()
    assert world.found() == {}


async def test_no_output_has_a_secret_while_the_store_is_away(world: SecretsWorld) -> None:
    await linked(world)
    world.relay.store.kill()
    await world.look_at_everything()
    assert (await world.ask("GET", f"{world.relay.modapi.admin}/readyz")).status_code == 503
    world.relay.store.start()
    world.relay.store.ask("CONFIG", "SET", "appendfsync", "no")
    await asyncio.sleep(0.5)
    await world.look_at_everything()
    assert world.found() == {}


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_handler_that_fails_with_all_secrets_reveals_none(
    world: SecretsWorld, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_LOG__FORMAT", form)
    monkeypatch.setenv("RELAY_TAKARO__REGISTRATION_TOKEN", REGISTRATION)
    config = world.relay.folder / "relay.toml"
    for service in world.services:
        await service.stop()
    relay = world.relay
    ports = [int(service.admin.rpartition(":")[2]) for service in world.services]
    relay.modapi = Service("modapi", config, ports[0], label="raising-modapi", entry="tests.hostile.raising")
    relay.uplink = Service("uplink", config, ports[1], label="raising-uplink", entry="tests.hostile.raising")
    await asyncio.gather(*(service.start() for service in world.services))
    await linked(world)
    asking = asyncio.gather(
        *(
            world.takaro.request(SECRETS["identity token"], action, {})
            for action in ("getPlayers", "listItems", "testReachability")
        ),
        return_exceptions=True,
    )
    await world.look_at_everything()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert world.found() == {}
    assert raising.WORD in relay.modapi.log
    for service in world.services:
        service.kill()
        await service.ended()
    assert world.found() == {}


WRONG = {
    "a port": ("port = ", 'port = "{mod key}" #'),
    "a key that is too short and odd": ('"{mod key}"', '"{mod key} !"'),
    "a list in place of a token": (
        'registration_token = "{registration token}"',
        'registration_token = ["{registration token}"]',
    ),
    "a token that is a number": ('admin_token = "{admin token}"', "admin_token = 123456789012345678901234"),
    "an admin token with a space": ('admin_token = "{admin token}"', 'admin_token = "{admin token} x"'),
    "the same key twice": ("{second mod key}", "{mod key}"),
    "the same identity twice": ("{second identity token}", "{own registration token}"),
    "no TOML": ("[modapi]", '[modapi]\nx = "{mod key}'),
    "an unknown key": ("[modapi]\n", '[modapi]\nadmin_tokn = "{admin token}"\n'),
    "an unknown section": ("[modapi]\n", '[modapy]\nadmin_token = "{admin token}"\n[modapi]\n'),
    "a scheme that is none": ('url = "unix:', 'url = "{redis password}unix:'),
    "a password that is not encoded": ('url = "unix://relay:', 'url = "redis://relay:{redis password}@host/'),
    "a store that is not there": (
        'url = "unix://relay:',
        'url = "unix:///nowhere?password={proxy password}" #',
    ),
    "a wrong password": ("unix://relay:", "unix://relay:{proxy password}"),
    "no TLS there": ('url = "unix://relay:', 'url = "rediss://relay:{proxy password}@127.0.0.1:1" #'),
    "a proxy that is none": ("[takaro]\n", '[takaro]\nproxy = "http://u:{proxy password}@127.0.0.1:1"\n'),
    "a proxy without a scheme": ("[takaro]\n", '[takaro]\nproxy = "u:{proxy password}@host"\n'),
    "TLS files that are none": ("[modapi]\n", '[modapi]\ntls_cert = "nowhere"\ntls_key = "relay.toml"\n'),
    "a TLS key that is none": ("[modapi]\n", '[modapi]\ntls_cert = "relay.toml"\ntls_key = "relay.toml"\n'),
}


def planted(text: str) -> str:
    for name, secret in SECRETS.items():
        text = text.replace("{" + name + "}", secret.replace('"', '\\"'))
    return text


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_setting_is_named_without_its_value(wrong: str, tmp_path: Path, many: bool) -> None:
    relay = RelayProcess("ws://127.0.0.1:1/", blocks(), REGISTRATION)
    config = tmp_path / "relay.toml"
    url = f"unix://relay:{quote(SECRETS['redis password'], safe='')}@/nowhere/redis.sock"
    text = relay_toml((relay.folder / "relay.toml").read_text(), url)
    old, new = map(planted, WRONG[wrong])
    assert old in text, "the change would do nothing"
    config.write_text(text.replace(old, new, 1))
    commands = [["modapi"]]
    if many:
        commands += [["check"], ["uplink"], ["up", "--data", str(tmp_path / "data")], ["instance", "list"]]
    with ThreadPoolExecutor() as threads:
        told = "".join(threads.map(lambda command: run(command, tmp_path), commands))
    assert leaks(told) == [], told
    assert told.strip()


def run(command: list[str], folder: Path) -> str:
    """Runs a command to its end, or for a second after its first output. Returns its output."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "TAKARO_"))}
    said = folder / f"{command[0]}.said"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *command],
            cwd=folder,
            env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder)},
            stdout=file,
            stderr=file,
        )
    until_other_processes(lambda: said.stat().st_size or process.poll() is not None)
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(timeout=20)
    return said.read_text()


async def test_a_file_that_becomes_wrong_is_reported_without_its_secrets(world: SecretsWorld) -> None:
    config = world.relay.folder / "relay.toml"
    good = config.read_text()
    for old, new in (WRONG["no TOML"], WRONG["the same key twice"], WRONG["a password that is not encoded"]):
        before = world.relay.modapi.log.count("stay in force")
        config.write_text(good.replace(*map(planted, (old, new)), 1))
        await until(lambda before=before: world.relay.modapi.log.count("stay in force") > before)  # type: ignore[misc]
    assert world.found() == {}


def test_the_command_lines_of_up_and_its_processes_have_no_secret(tmp_path: Path) -> None:
    relay = RelayProcess("ws://127.0.0.1:1/", blocks(), REGISTRATION)
    text = (relay.folder / "relay.toml").read_text()
    config = tmp_path / "relay.toml"
    config.write_text(re.sub(r"\[redis\]\nurl = .*\n", "", text))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "services.cli",
            "up",
            "--config",
            str(config),
            "--data",
            str(tmp_path / "data"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path), "RELAY_MODAPI__PORT": str(free_port())},
        text=True,
    )
    try:
        assert process.stdout
        told = ""
        for line in process.stdout:
            told += line
            if "mods call" in line:
                break
        lines = [path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
        ours = [path for path in Path("/proc").glob("[0-9]*") if is_of(path, str(tmp_path))]
        assert len(ours) == 4  # up, its store, uplink, modapi
        assert not [line for line in lines if leaks(line)]
    finally:
        process.terminate()
        told += process.communicate(timeout=30)[0]
    assert leaks(told) == []


def is_of(process: Path, folder: str) -> bool:
    """Whether the process names the folder, or runs in it, as the store does."""
    try:
        return folder in (process / "cmdline").read_text() + os.readlink(process / "cwd")
    except OSError:
        return False


def readable(path: Path) -> bool:
    try:
        path.read_text()
    except OSError:
        return False
    return True
