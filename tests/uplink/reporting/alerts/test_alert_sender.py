"""Alerts are posted to a real web server that takes or refuses them, is slow, or does not run."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from services.relay.protocol.keys import keys_of
from services.relay.service.lifecycle import cancelled
from services.relay.service.redaction import Redaction
from services.relay.service.settings import Alerts
from services.relay.service.settings_warnings import secrets_in
from services.relay.store.client import Store
from services.uplink.reporting.alerts import sender
from services.uplink.reporting.alerts.conditions import RULES, Sighting
from services.uplink.reporting.alerts.sender import AlertSender, AlertTimes
from tests.support.certificates import make_certificate
from tests.support.waiting import until

WELL = Sighting("A server", silent_s=1.0, unheard_s=1.0, link="ready", events=0, fullness=0.0, oldest_s=0.0)
REFUSED = replace(WELL, link="refused")
SECRET = "api/webhooks/1234567890/the-secret-of-this-webhook"


@dataclass
class Hook:
    """A web server. `answers` are statuses (with headers) to give first; then 204."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    @property
    def url(self) -> SecretStr:
        return SecretStr(f"http://127.0.0.1:{self.port}/{SECRET}?wait=true")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        self.heads.append(head)
        self.bodies.append(orjson.loads(await reader.readexactly(length)))
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        if answer == "hang":
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.port = server.sockets[0].getsockname()[1]
    yield hook
    server.close()


QUICK = AlertTimes(check_every_s=0.02, gather_s=0.02, message_every_s=0.02, first_pause_s=0.02)


class AlertingUplink:
    """One uplink's AlertSender, what it sees, and what it has counted."""

    def __init__(self, settings: Alerts, store: Store, times: AlertTimes) -> None:
        self.seen: dict[str, Sighting] = {}
        self.looks = 0
        self.counted: list[tuple[str, bool]] = []
        counted = lambda target, sent: self.counted.append((target, sent))  # noqa: E731
        alerts = AlertSender(settings, store, self.sightings, counted, times=times)
        self.running = asyncio.create_task(alerts.run())

    def sightings(self) -> dict[str, Sighting]:
        self.looks += 1
        return self.seen

    async def many_looks(self) -> None:
        """Until another message would have come."""
        looks = self.looks
        await until(lambda: self.looks >= looks + 10)


@contextlib.asynccontextmanager
async def an_uplink(settings: Alerts, store: Store, **times: Any) -> AsyncIterator[AlertingUplink]:
    uplink = AlertingUplink(settings, store, replace(QUICK, **times))
    yield uplink
    await cancelled(uplink.running)


async def test_both_targets_get_the_beginning_and_the_end(store: Store, slug: str, hook: Hook) -> None:
    rules = {name: replace(rule, ends_for_s=0.0) for name, rule in RULES.items()}
    both = Alerts(discord_url=hook.url, webhook_url=hook.url)
    async with an_uplink(both, store, rules=rules) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: len(uplink.counted) == 2)
        assert await store.send("HKEYS", keys_of(slug).alerts) == [b"refused"]
        uplink.seen = {slug: WELL}
        await until(lambda: len(uplink.counted) == 4)
        assert await store.send("EXISTS", keys_of(slug).alerts) == 0
    assert sorted(uplink.counted) == [("discord", True)] * 2 + [("webhook", True)] * 2
    assert hook.heads[0].startswith(f"POST /{SECRET}?wait=true HTTP/1.1\r\nHost: 127.0.0.1:{hook.port}\r\n")
    texts = [body["content"] for body in hook.bodies if "content" in body]
    states = [body["alerts"][0]["state"] for body in hook.bodies if "alerts" in body]
    assert "Takaro refuses" in texts[0] and "Takaro accepts" in texts[1] and states == ["began", "ended"]


async def test_many_transitions_at_once_are_one_message(store: Store, slug: str, hook: Hook) -> None:
    async with an_uplink(Alerts(discord_url=hook.url), store) as uplink:
        uplink.seen = {f"{slug}-{number}": REFUSED for number in range(300)}
        await until(lambda: uplink.counted == [("discord", True)])
    (body,) = hook.bodies
    assert "more refused by Takaro" in body["content"]


async def test_the_next_owner_does_not_repeat_an_alert(store: Store, slug: str, hook: Hook) -> None:
    for _ in range(2):
        async with an_uplink(Alerts(discord_url=hook.url), store) as uplink:
            uplink.seen = {slug: REFUSED}
            await until(lambda: len(hook.bodies) == 1)
            await uplink.many_looks()
    assert len(hook.bodies) == 1


async def test_the_next_owner_sends_an_alert_that_has_not_arrived(
    store: Store, slug: str, hook: Hook
) -> None:
    hook.answers = ["hang"]
    for count in (1, 2):
        async with an_uplink(Alerts(webhook_url=hook.url), store) as uplink:
            uplink.seen = {slug: REFUSED}
            await until(lambda count=count: len(hook.bodies) == count)  # type: ignore[misc]


@pytest.mark.parametrize("answer", ["500 Oops", "429 Slow down\r\nRetry-After: 0.05", "503 Away"])
async def test_a_failed_message_is_sent_again(store: Store, slug: str, hook: Hook, answer: str) -> None:
    hook.answers = [answer] * 3
    async with an_uplink(Alerts(discord_url=hook.url), store) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("discord", True)])
    assert len(hook.bodies) == 4


async def test_an_alert_on_its_way_is_not_repeated_after_its_instance_was_not_seen(
    store: Store, slug: str, hook: Hook
) -> None:
    hook.answers = ["503 Away"] * 3
    async with an_uplink(Alerts(discord_url=hook.url), store, first_pause_s=0.1) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: hook.bodies)
        uplink.seen = {}  # as while Redis is away
        await uplink.many_looks()
        assert not uplink.counted
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted)
        await uplink.many_looks()
        assert uplink.counted == [("discord", True)]


@pytest.mark.parametrize(
    ("answer", "tries"), [("500 Oops", 8), ("404 Gone", 1), ("302 Elsewhere", 1), ("no", 8)]
)
async def test_a_message_that_is_given_up_is_logged_without_the_secret(
    store: Store,
    slug: str,
    hook: Hook,
    answer: str,
    tries: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook.answers = [answer] * 20
    async with an_uplink(Alerts(discord_url=hook.url), store, longest_pause_s=0.02) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("discord", False)])
    assert len(hook.bodies) == tries
    (line,) = [record.getMessage() for record in caplog.records if record.name == sender.__name__]
    assert line.startswith("alerts.discord_url: a message could not be delivered to http://127.0.0.1:")
    assert "secret" not in line
    assert await store.send("EXISTS", keys_of(slug).alerts) == 0


async def test_an_alert_that_has_arrived_nowhere_is_sent_again_later(
    store: Store, slug: str, hook: Hook
) -> None:
    hook.answers = ["404 Gone"] * 4
    both = Alerts(discord_url=hook.url, webhook_url=hook.url)
    async with an_uplink(both, store, again_after_s=0.1) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: len(uplink.counted) == 6)
        assert await store.send("HKEYS", keys_of(slug).alerts) == [b"refused"]
    assert [sent for _, sent in uplink.counted] == [False] * 4 + [True] * 2


async def test_an_alert_that_one_target_has_taken_is_not_sent_again(
    store: Store, slug: str, hook: Hook
) -> None:
    hook.answers = ["404 Gone"]
    both = Alerts(discord_url=hook.url, webhook_url=hook.url)
    async with an_uplink(both, store, again_after_s=0.0) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: len(uplink.counted) == 2)
        await uplink.many_looks()
    assert sorted(sent for _, sent in uplink.counted) == [False, True] and len(hook.bodies) == 2


async def test_a_server_that_never_answers_costs_a_limited_time(store: Store, slug: str, hook: Hook) -> None:
    hook.answers = ["hang"]
    async with an_uplink(Alerts(discord_url=hook.url), store, post_within_s=1.0) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("discord", True)])
    assert len(hook.bodies) == 2


async def test_a_target_that_is_away_does_not_delay_the_other(store: Store, slug: str, hook: Hook) -> None:
    nobody = SecretStr("http://127.0.0.1:1/hook")
    async with an_uplink(Alerts(discord_url=hook.url, webhook_url=nobody), store) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: ("discord", True) in uplink.counted)


async def test_a_name_and_a_password_in_a_url_are_sent(store: Store, slug: str, hook: Hook) -> None:
    url = SecretStr(f"http://relay:p%40ss@127.0.0.1:{hook.port}/hook")
    async with an_uplink(Alerts(webhook_url=url), store) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("webhook", True)])
    (head,) = hook.heads
    assert f"\r\nHost: 127.0.0.1:{hook.port}\r\n" in head
    assert f"\r\nAuthorization: Basic {b64encode(b'relay:p@ss').decode()}\r\n" in head


async def test_without_a_target_the_instances_are_not_looked_at(store: Store) -> None:
    async with an_uplink(Alerts(), store) as uplink:
        await asyncio.sleep(0)
        assert not uplink.running.done() and uplink.counted == [] and uplink.looks == 0


async def test_a_target_with_an_untrusted_certificate_gets_nothing(
    store: Store, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = make_certificate(tmp_path, "hook")
    served, hook = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), Hook()
    served.load_cert_chain(cert, key)
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0, ssl=served)
    url = SecretStr(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/{SECRET}")
    async with an_uplink(Alerts(webhook_url=url), store, longest_pause_s=0.02) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("webhook", False)])
    assert hook.bodies == []
    await store.send("DEL", keys_of(slug).alerts)

    believing = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: believing(cafile=str(cert)))
    async with an_uplink(Alerts(webhook_url=url), store) as uplink:
        uplink.seen = {slug: REFUSED}
        await until(lambda: uplink.counted == [("webhook", True)])
    server.close()
    assert len(hook.bodies) == 1


def test_the_url_of_a_webhook_is_a_secret() -> None:
    settings = Alerts(discord_url=SecretStr(f"https://discord.example/{SECRET}"))
    redaction = Redaction()
    redaction.hide("settings", secrets_in(settings))
    assert SECRET not in repr(settings)
    assert (
        redaction.clean(f"POST https://discord.example/{SECRET} failed")
        == "POST https://discord.example/*** failed"
    )
    assert sender.shown(f"https://user:pass@discord.example/{SECRET}") == "https://discord.example/***"


async def test_a_fault_with_one_server_does_not_stop_alerts_of_others(
    store: Store, slug: str, hook: Hook
) -> None:
    async with an_uplink(Alerts(discord_url=hook.url), store) as uplink:
        uplink.seen = {f"{slug}-odd": replace(REFUSED, silent_s="by a fault of ours"), slug: REFUSED}  # type: ignore[arg-type]
        await until(lambda: uplink.counted == [("discord", True)])
        assert not uplink.running.done()


async def test_a_message_that_cannot_be_built_is_sent_later_and_others_are_sent(
    store: Store, slug: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("by a fault of ours")

    both = Alerts(discord_url=hook.url, webhook_url=hook.url)
    with monkeypatch.context() as broken:
        broken.setattr("services.uplink.reporting.alerts.words.discord", failing)
        async with an_uplink(both, store, again_after_s=0.1) as uplink:
            uplink.seen = {slug: REFUSED}
            await until(lambda: sorted(uplink.counted) == [("discord", False), ("webhook", True)])
            uplink.seen = {slug: REFUSED, f"{slug}-other": REFUSED}
            await until(lambda: uplink.counted.count(("webhook", True)) == 2)
