"""The doctor's checks on this side: Redis, the two services and their ports, the clocks."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from services.cli.terminal import COMPOSE_UP
from services.cli.verdict import Verdict, bad, good, warn
from services.relay.protocol.errors import AddressInUse, ConfigError, StoreError
from services.relay.protocol.keys import UPLINKS
from services.relay.service.http.addresses import dialled_host, host_and_port
from services.relay.service.http.admin_ports import noted
from services.relay.service.http.client import call
from services.relay.service.http.ports import bind
from services.relay.service.settings import Settings
from services.relay.service.settings_values import is_loopback
from services.relay.store.client import CLOCK, Store

ASK_WITHIN_S = 3.0
MAX_ANSWER_BYTES = 256 * 1024
SLOW_S = 0.05
FULL = 0.8
CLOCKS_APART_S = 2.0
ROUND_TRIPS = 5
COMPOSE_HOSTS = {"modapi": "modapi", "uplink": "uplink"}
"""The services in docker-compose.yml, and their names in its network."""
MOST_TRIED = 10  # maximum number of noted addresses of a service that are tried


async def store(store: Store) -> list[Verdict]:
    """Check version, durability, memory, pace and clock of Redis."""
    try:
        facts = await store.inspect()
        paced = await _pace_and_clock(store)
    except StoreError as error:
        fix = "is it running? [redis] url says where it is looked for"
        return [bad(f"Redis cannot be used: {error}", fix)]
    found = [good(facts.described())]
    found += [bad(line) for line in facts.refusals()]
    found += [
        warn(f"accepted by [redis] durability: {line}") for line in facts.losses() if not facts.refusals()
    ]
    if shortage := facts.shortage():
        found.append(bad(shortage, "start the replicas, or lower [redis] replicas"))
    for one in facts.servers:
        if not one.aof_ok:
            found.append(bad("Redis cannot write its append-only file", "look at its log: is the disk full?"))
        if one.fullness > FULL:
            what = f"Redis has {one.fullness:.0%} of its memory in use: at 100 % events are refused"
            found.append(
                warn(what, "raise its maxmemory, or find out what is not delivered: `dayz-relay status`")
            )
    return [*found, *paced]


async def _pace_and_clock(store: Store) -> list[Verdict]:
    took_s = apart_s = 0.0
    for _ in range(ROUND_TRIPS):
        begun_s, at_s = time.monotonic(), time.time()
        seconds, microseconds = await store.run(CLOCK, (UPLINKS,))
        took_s = max(took_s, time.monotonic() - begun_s)
        apart_s = int(seconds) + int(microseconds) / 1e6 - at_s
    found = [good(f"it answers within {took_s * 1000:.1f} ms")]
    if took_s > SLOW_S:
        found = [warn(f"it takes {took_s * 1000:.0f} ms to answer", "is it far away, or its machine busy?")]
    if abs(apart_s) > CLOCKS_APART_S:
        what = f"its clock is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} the one here"
        found.append(warn(what, "set both machines to a time server (NTP)"))
    return found


async def services(settings: Settings, store: Store | None) -> list[Verdict]:
    """Check whether both services run here and are ready; if not, whether their ports are free.

    A service that was started with other settings is found by what it noted in `store`. If neither runs, the
    first verdict says so and has the only fix.
    """
    modapi, uplink = settings.modapi, settings.uplink
    answered = await asyncio.gather(
        _service("modapi", modapi.admin_host, modapi.admin_port, store),
        _service("uplink", uplink.admin_host, uplink.admin_port, store),
    )
    (modapis, running), (uplinks, _) = answered
    found = [*modapis, *await _mods_port(settings, running=running), *uplinks]
    starts = [_start_of("modapi"), _start_of("uplink")]
    if [one.fix for one in found if one.fix in starts] != starts:
        return found
    away = warn("the relay does not run here", "`dayz-relay up` starts it")
    return [away, *(replace(one, fix="") if one.fix in starts else one for one in found)]


async def services_of_compose(settings: Settings, hosts: Mapping[str, str] = COMPOSE_HOSTS) -> list[Verdict]:
    """Check whether both services of docker-compose.yml are ready, each in its own container."""
    ports = {"modapi": settings.modapi.admin_port, "uplink": settings.uplink.admin_port}
    found: list[Verdict] = []
    for name, host in hosts.items():
        at = host_and_port(host, ports[name])
        if about := await _readiness(host, ports[name]):
            found += _answered(name, at, about)
        else:
            fix = f"`{COMPOSE_UP}` starts it; `docker compose logs {name}` says why it ended"
            found.append(bad(f"{name} does not answer at {at}", fix))
    return found


async def _service(name: str, host: str, port: int, store: Store | None) -> tuple[list[Verdict], bool]:
    """The verdicts on a service, and whether it runs here."""
    at = host_and_port(host, port)
    if port and (about := await _readiness(host, port)):
        return _answered(name, at, about), True
    what = f"something listens on {at}, and does not answer as {name} does"
    taken = bad(what, f"if it is {name}, restart it; otherwise stop it, or change [{name}] admin_port")
    in_the_way = _cannot_listen(host, port, f"{name}.admin_port", taken) if port else []
    if running := await _elsewhere(name, store):
        where, about = running
        what = f"{name} runs on {where}, not on {at} as relay.toml has it"
        moved = [warn(what, "restart the relay")] if port else []
        return [*moved, *_answered(name, where, about), *in_the_way], True
    if not port:
        what = f"{name} has any free admin port, and none is known on which it runs here"
        return [warn(what, f"set [{name}] admin_port to a number")], False
    away = warn(f"{name} does not run here (nobody listens on {at})", _start_of(name))
    return in_the_way or [away], False


def _start_of(name: str) -> str:
    return f"`dayz-relay {name}` starts it, `dayz-relay up` all of it"


async def _elsewhere(name: str, store: Store | None) -> tuple[str, dict[str, Any]] | None:
    """Address and answer of a service here that was started with other settings."""
    if store is None:
        return None
    with contextlib.suppress(StoreError):
        for host, port in (await noted(store, name))[:MOST_TRIED]:
            if about := await _readiness(host, port):
                return host_and_port(host, port), about
    return None


def _answered(name: str, at: str, about: dict[str, Any]) -> list[Verdict]:
    """Whether a running service is ready, and how its settings differ from its file, as it says itself."""
    if about["ok"]:
        found = [good(f"{name} runs on {at} and is ready")]
    else:
        found = [bad(f"{name} on {at} is not ready: {about.get('reason')}")]
    if refused := about.get("settings_refused"):
        what = f"{name} still runs with the settings from before relay.toml was changed: {refused}"
        found.append(bad(what, "mend relay.toml: it is read again when it is saved"))
    if keys := about.get("restart_needed_for"):
        what = f"{name} runs with other settings than relay.toml has: {', '.join(keys)}"
        found.append(warn(what, "restart the relay"))
    return found


async def _mods_port(settings: Settings, *, running: bool) -> list[Verdict]:
    host, port = settings.modapi.host, settings.modapi.port
    if not port:
        return [warn("mods call any free port: it changes with each start", "set [modapi] port to a number")]
    at = host_and_port(host, port)
    if running and not await _listens(dialled_host(host), port):
        return [bad(f"nobody listens on {at}, where mods call", "restart modapi: its log says more")]
    what = f"something listens on {at}, where mods call, and modapi does not answer"
    taken = bad(what, "if it is modapi, restart it; otherwise stop it, or change [modapi] port")
    if not running and (found := _cannot_listen(host, port, "modapi.port", taken)):
        return found
    if not is_loopback(host) and settings.modapi.tls_cert is None and not settings.modapi.trusted_proxies:
        fix = "use a private network, [modapi] tls_cert and tls_key, or a TLS proxy in front"
        return [warn(f"mods call {at} by plain HTTP: mod keys can be read on the way", fix)]
    return [good(f"mods call {at}" if running else f"{at}, where mods call, is free")]


def _cannot_listen(host: str, port: int, key: str, taken: Verdict) -> list[Verdict]:
    """Why a service could not listen there; `taken` if another program listens."""
    try:
        bind(host, port, key).close()
    except AddressInUse:
        return [taken]
    except ConfigError as error:
        return [bad(str(error))]
    return []


async def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        async with asyncio.timeout(ASK_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


async def _readiness(host: str, port: int) -> dict[str, Any] | None:
    """The answer of a service of ours to /readyz; None: it does not answer there."""
    url = f"http://{host_and_port(dialled_host(host), port)}/readyz"
    with contextlib.suppress(OSError, ValueError):
        answer = await call("GET", url, within_s=ASK_WITHIN_S, max_bytes=MAX_ANSWER_BYTES)
        about = orjson.loads(answer.body)
        if isinstance(about, dict) and "ok" in about:
            return about
    return None
