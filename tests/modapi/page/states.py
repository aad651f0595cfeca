"""Relays in the states that the page is looked at in, as mods and uplinks leave them in Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.admin.context import AdminContext
from services.modapi.metrics import ModapiMetrics
from services.modapi.page.routes import add_page
from services.relay.instances.directory import Directory
from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.history import LENGTH_S
from services.relay.instances.registry import Registry
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, ModApi, Settings
from services.relay.store.client import Store

TOKEN = "admin-token-of-the-page-0123"


def instance(slug: str, name: str = "", *, token: bool = True) -> Instance:
    """A server of relay.toml."""
    return Instance(
        slug=slug,
        name=name or f"[EU] Chernarus {slug[-4:]}",
        identity_token=SecretStr(f"identity-{slug}"),
        registration_token=SecretStr("registration") if token else None,
        mod_keys=(SecretStr(f"mod-key-of-{slug}-0123456789"),),
    )


@asynccontextmanager
async def served(store: Store, instances: Iterable[Instance], token: str | None = None) -> AsyncIterator[str]:
    """The page's address. Without an admin token: to this machine alone."""
    modapi = ModApi(admin_token=SecretStr(token) if token else None)
    settings = Settings(instances=tuple(instances), modapi=modapi)
    directory = Directory(settings, None, {}, store, lambda _: None)
    pages = FastAPI(openapi_url=None)
    metrics = ModapiMetrics(CollectorRegistry())
    context = AdminContext(directory, store, settings, metrics)
    add_page(pages, context)
    port = bind("127.0.0.1", 0, "the test's port")
    serving = asyncio.create_task(Listener(pages).listen(port))
    tasks = [asyncio.create_task(one) for one in (context.fleet.run(), directory.watch(lambda _: None))]
    await directory.complete.wait()
    try:
        yield f"http://127.0.0.1:{port.getsockname()[1]}"
    finally:
        for task in (*tasks, serving):
            await cancelled(task)


async def is_up(
    store: Store, slug: str, number: int = 0, *, silent_s: float = 1, link: str = "ready"
) -> None:
    """As its mod and an uplink leave a server with which all is well, but for what is said otherwise."""
    keys, now_ms = keys_of(slug), time.time() * 1000
    store.send_unawaited("HSET", keys.lease, "token", "t", "uplink", f"relay-uplink-{number % 2}-a053b3")
    store.send_unawaited("SET", keys.contact, round(now_ms - silent_s * 1000))
    store.send_unawaited("HSET", keys.mirror, "players", number % 60)
    store.send_unawaited("HSET", keys.mod, "version", "0.2.0", "hold_ms", 4700)
    now = int(now_ms) // 1000 // LENGTH_S  # the last day: an outage, and more events in the evening
    linked = dict.fromkeys(range(now - 46, now + 1), LENGTH_S) | {now - 20: 0, now - 19: 700}
    events = {now - back: 40 + (back - 24 + number % 9) ** 2 // 2 for back in range(40)}
    store.send_unawaited("HSET", keys.linked, *_flat(linked))
    store.send_unawaited("HSET", keys.intake, "day", " ".join(map(str, _flat(events))))
    await InstanceData(store, slug).write_link(LinkInfo(link, "an-id-of-takaro"))


def _flat(fields: dict[int, int]) -> list[int]:
    return [part for field in fields.items() for part in field]


async def three_up(store: Store) -> list[Instance]:
    """Three servers with which all is well."""
    names = {"chernarus": "[EU] Chernarus", "livonia": "Livonia PvE", "sakhal": "Sakhal, hardcore"}
    for number, slug in enumerate(names):
        await is_up(store, slug, 7 * number)
    return [instance(slug, name) for slug, name in names.items()]


async def stored(store: Store, slug: str) -> None:
    """A server that was added by the page or the API, and that they can change."""
    await Registry(store, lambda: []).create(slug, "[EU] A stored one", registration_token=SecretStr("token"))


async def a_thousand(store: Store, slugs: Iterable[str]) -> list[Instance]:
    """As two uplinks and many mods would: most servers are well, each tenth has trouble."""
    slugs = list(slugs)
    states = (
        is_up(store, slug, number, silent_s=104 if number % 10 == 0 else 1)
        for number, slug in enumerate(slugs)
    )
    await asyncio.gather(*states)
    return [instance(slug) for slug in slugs]


async def one_of_each_problem(store: Store) -> list[Instance]:
    """A server for each code of ProblemCode."""
    registry = Registry(store, lambda: [])
    await registry.create("disabled", "Closed for the winter", disabled=True)
    await registry.create("not-served", "Twice the same", identity_token=SecretStr("identity-late"))
    await registry.create("conflict", "Stored, too")
    links = {
        "link-missing": "",
        "out-of-reach": "waiting",
        "refused": "refused",
        "paused": "paused",
        "stopped": "stopped",
        "connecting": "connecting",
    }
    silent = {"late": 40, "silent": 4_000, "wrong-key": 1_000}
    well = ("no-key", "conflict", "no-owner", "backlog", "dead-letters", "no-token")
    for slug in (*links, *silent, *well):
        await is_up(store, slug, silent_s=silent.get(slug, 1), link=links.get(slug, "ready"))
    await InstanceData(store, "refused").write_link(
        LinkInfo("refused", "", "Takaro refuses this server: the registration token is not valid")
    )
    WrongKeyCalls(store).note("203.0.113.7", "wrong-key")
    await store.send("DEL", keys_of("no-owner").lease)
    await dead_letters(store, "dead-letters")
    await waits(store, "backlog", since_s=300)
    slugs = ("never-called", *links, *silent, *well)
    found = [instance(slug, slug.replace("-", " "), token=slug != "no-token") for slug in slugs]
    return [one.model_copy(update={"mod_keys": ()}) if one.slug == "no-key" else one for one in found]


async def a_busy_one(store: Store, slug: str) -> None:
    """Events that wait, dead letters, players and the last hour of a server."""
    await is_up(store, slug)
    await waits(store, slug, since_s=2)
    await dead_letters(store, slug)
    players = [
        {"gameId": f"7656119800000000{number}", "name": name, "ping": 20 + number}
        for number, name in enumerate(("Zoë Q", "\u202egnp.exe", "Bob"))
    ]
    online = b"%.1f %b" % (time.time(), orjson.dumps(players))
    place = b"%.1f %b" % (time.time(), orjson.dumps({"x": 7_500.4, "y": 3, "z": 8_400.6}))
    at = f"{Action.GET_PLAYER_LOCATION}:{players[0]['gameId']}"
    await store.send("HSET", keys_of(slug).mirror, "online", online, "players", 3, at, place)


async def waits(store: Store, slug: str, since_s: float) -> None:
    """Events that Takaro does not have yet."""
    events = orjson.dumps(
        [
            {
                "type": "chat-message",
                "data": {"channel": "global", "msg": "hello", "player": {"name": "Bob"}},
            },
            {"type": "log", "data": {"msg": "A line of the log that is rather long. " * 8}},
        ]
    )
    at_ms = round((time.time() - since_s) * 1000)
    await store.send("XADD", keys_of(slug).events, f"{at_ms}-0", "events", events, "at", at_ms)
    await store.send("HSET", keys_of(slug).intake, "events", 2, "bytes", len(events))


async def dead_letters(store: Store, slug: str) -> None:
    """Two events that cannot be delivered."""
    for reason, detail in (("unknown-type", "type: exploded"), ("unknown-player", "nobody has this id")):
        fields = ("reason", reason, "detail", detail, "raw", '{"type": "exploded"}')
        await store.send("XADD", keys_of(slug).dead, "*", *fields)
