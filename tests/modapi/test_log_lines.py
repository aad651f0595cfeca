"""Log lines at the mods' port: the log agent beside the mod, and how many of them pass."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from services.modapi.http.rate_limits import LogLines
from services.relay.instances.facts import facts_of
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from tests.support.modapi_port import ModapiPort, an_instance
from tests.support.waiting import until

MOD, AGENT = "local", "agent"


class LogPort(ModapiPort):
    """The port for one instance, which needs no key."""

    def __init__(self, store: Store, slug: str) -> None:
        super().__init__(store, an_instance(slug))
        self.slug = slug

    def set(self, **settings: Any) -> None:
        """relay.toml says this of the instance from now on."""
        self.serve(an_instance(self.slug).model_copy(update=settings))

    async def post(self, sender: str, *events: Any) -> int:
        body = {"events": [{"type": "log", "msg": one} if isinstance(one, str) else one for one in events]}
        return (await self.call("POST", f"/gameserver/{sender}/events", json=body)).status_code

    async def health(self) -> Any:
        return (await self.call("GET", "/health")).json()

    async def texts(self) -> list[str]:
        return [event["data"].get("msg", event["type"]) for event in await self.stored(self.slug)]

    def dropped(self, reason: str) -> float:
        found = self.registry.get_sample_value("dayz_relay_log_lines_dropped_total", {"reason": reason})
        assert found is not None
        return found


@pytest.fixture
async def port(store: Store, slug: str) -> AsyncIterator[LogPort]:
    port = LogPort(store, slug)
    yield port
    await cancelled(port.serving)


async def test_a_call_of_the_agent_is_no_contact_with_the_mod(port: LogPort) -> None:
    assert await port.post(AGENT, "a line") == 200
    assert (await port.health())["lastModContactAt"] is None
    assert (await facts_of(port.store, port.slug)).contact_ms is None
    await port.post(MOD, "a line")
    assert (await port.health())["lastModContactAt"] is not None
    assert await port.texts() == ["a line", "a line"]


@pytest.mark.parametrize("sender", [MOD, AGENT])
async def test_with_log_lines_switched_off_all_other_events_arrive(port: LogPort, sender: str) -> None:
    port.set(log="off", log_per_s=5)
    join = {"type": "player-connected", "player": {"gameId": "76561198000000001", "name": "Ada"}}
    assert await port.post(sender, "one", join, "two") == 200
    assert await port.texts() == ["player-connected"]
    assert (port.dropped("off"), port.dropped("rate")) == (2, 0)


async def test_log_lines_over_the_rate_of_all_senders_are_dropped_and_counted(port: LogPort) -> None:
    port.set(log_per_s=0.2)  # those of 10 s at once: two
    assert await port.post(AGENT, "one") == 200
    assert await port.post(MOD, "two", "three") == 200
    assert await port.post(AGENT, "four") == 200
    assert await port.texts() == ["one", "three"]
    assert port.dropped("rate") == 2


async def test_a_change_of_the_log_settings_takes_effect_at_once_and_no_other_change_renews_the_allowance(
    port: LogPort,
) -> None:
    port.set(log_per_s=0.1)
    await port.post(MOD, "zero", "one")
    port.set(log_per_s=0.1, mod_keys=(SecretStr("key-0123456789abcdef"),))
    port.set(log_per_s=0.1)
    await port.post(MOD, "two", "three")
    port.set()
    await port.post(MOD, "four", "five")
    assert await port.texts() == ["one", "four", "five"]


async def test_a_repeat_whose_answer_was_lost_uses_nothing_up(port: LogPort) -> None:
    port.set(log_per_s=0.2)  # two at once, another one after 5 s
    port.app.answered_within_s = 0.0  # each answer may be lost
    for lines in ("a", "ab", "abc"):
        # One that is found after a standstill has to be sent again.
        await until(lambda lines=lines: port.post(AGENT, *lines), met=lambda status: status == 200)  # type: ignore[misc]
    assert await port.texts() == ["a", "b"]
    assert port.dropped("rate") == 1


def test_log_lines_that_were_not_stored_do_not_use_up_the_limit() -> None:
    lines = LogLines(True, 0.2, 0.0)
    assert [lines.admit(0.0) for _ in range(3)] == [True, True, False]
    lines.give_back(2)
    assert [lines.admit(0.0) for _ in range(3)] == [True, True, False]
