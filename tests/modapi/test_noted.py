"""What modapi notes of a mod for the page: its version, its contact, and how long its polls are held."""

import time

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi import served_instance
from services.modapi.hold_rules import FALL_BACK_S, SAFE_S, Ending
from services.modapi.http.calls import CallKind
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instance import ServedInstance
from services.relay.instances.facts import facts_of
from services.relay.protocol.keys import keys_of
from services.relay.service.clocks import boottime_s
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from tests.support.waiting import until


def served(store: Store, slug: str) -> ServedInstance:
    settings = Instance(slug=slug, name="A server", identity_token=SecretStr("identity-of-it"))
    logger = InstanceLogger("test", slug)
    return ServedInstance(settings, store, ModapiMetrics(CollectorRegistry()), logger, 5.0)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("0.2.0", "0.2.0"),
        ("x" * 500, "x" * 40),
        ("\ud800", "?"),
        ("", ""),
        (None, ""),
        (7, ""),
        (["0.2"], ""),
    ],
)
async def test_the_version_is_noted_if_it_is_one(store: Store, slug: str, sent: object, shown: str) -> None:
    served(store, slug).mod.registered(sent)
    assert (await facts_of(store, slug)).mod_version == shown


async def test_how_long_polls_are_held_is_noted_with_the_first_call(store: Store, slug: str) -> None:
    served(store, slug).mod.called(CallKind.POLL, "10.0.0.9")
    assert (await facts_of(store, slug)).hold_ms == 700


async def test_a_registration_ends_the_short_holds_after_a_stop(store: Store, slug: str) -> None:
    mod, rules = (instance := served(store, slug)).mod, instance.polls.rules
    now_s = time.monotonic()
    rules.begin(now_s - 2 * FALL_BACK_S)
    rules.end(now_s - 2 * FALL_BACK_S + 4.0, Ending.HUNG_UP)
    mod.called(CallKind.REGISTER, "10.0.0.9")
    for _ in range(4):
        rules.begin(now_s)
        mod.called(CallKind.EVENTS, "10.0.0.9")
    assert rules.allowed_s(now_s) > SAFE_S


async def test_a_registration_is_a_contact(store: Store, slug: str) -> None:
    instance = served(store, slug)
    assert (await facts_of(store, slug)).contact_ms is None
    instance.mod.called(CallKind.REGISTER, "10.0.0.9")
    facts = await until(lambda: facts_of(store, slug), met=lambda facts: facts.silent_s is not None)
    assert facts.silent_s < 60


async def test_a_note_that_was_lost_is_stored_again_after_some_minutes(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = served(store, slug)
    instance.mod.called(CallKind.POLL, "192.0.2.1")
    await until(lambda: facts_of(store, slug), met=lambda facts: facts.hold_ms)
    await store.send("DEL", keys_of(slug).mod)
    instance.mod.called(CallKind.POLL, "192.0.2.1")
    assert (await facts_of(store, slug)).address == ""
    monkeypatch.setattr(served_instance, "boottime_s", lambda: boottime_s() + served_instance.NOTED_AGAIN_S)
    instance.mod.called(CallKind.POLL, "192.0.2.1")
    facts = await facts_of(store, slug)
    assert (facts.address, facts.hold_ms) == ("192.0.2.1", 700)
