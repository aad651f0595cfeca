"""The directory follows the instances of relay.toml and Redis, and copes without either."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.directory import CHECK_EVERY_S, Directory, instances
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import (
    INSTANCES,
    INSTANCES_CLOCK,
    INSTANCES_IDENTITIES,
    INSTANCES_REMOVALS,
    INSTANCES_VERSION,
    WAKE_INSTANCES,
)
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import load
from services.relay.store.client import Script, Store
from tests.support.redis_server import RedisServer
from tests.support.set_clock import set_clock
from tests.support.silent_store import SilentStore
from tests.support.waiting import until


def block(slug: str) -> str:
    return (
        f'[[instance]]\nslug = "{slug}"\nname = "Server {slug}"\nidentity_token = "identity-{slug}"\n'
        f'mod_keys = ["key-of-{slug}-0123456789"]\n'
    )


DAY_S = 86_400.0


class Followed:
    """A directory that is watched."""

    def __init__(self, store: Store, config: Path) -> None:
        self.config = config
        self.told: list[list[str]] = []
        self.failed: list[float] = []
        self.served: Mapping[str, DefinedInstance] = {}
        settings = load(config, {}).settings
        self.directory = Directory(settings, config, {}, store, self.failed.append)
        self.watching = asyncio.create_task(self.directory.watch(self._changed))

    def _changed(self, served: Mapping[str, DefinedInstance]) -> None:
        self.served = served
        self.told.append(sorted(served))

    async def checks_the_file_again(self) -> None:
        self.directory.file.nudge.set()
        await until(lambda: not self.directory.file.nudge.is_set())

    async def serves(self, *slugs: str) -> None:
        await until(lambda: sorted(self.served) == sorted(slugs))


@pytest.fixture
async def followed(store: Store, tmp_path: Path) -> AsyncIterator[Followed]:
    for key in (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS, INSTANCES_CLOCK):
        await store.send("DEL", key)
    config = tmp_path / "relay.toml"
    config.write_text(block("one"))
    made = Followed(store, config)
    await until(made.directory.complete.is_set)
    yield made
    await cancelled(made.watching)


async def test_stored_instances_are_served_and_removed_ones_are_not(followed: Followed, store: Store) -> None:
    registry = Registry(store, list)
    await registry.create("two", "Server two")
    await followed.serves("one", "two")
    await registry.remove("two")
    await followed.serves("one")


async def test_stored_instances_are_read_again_only_after_a_change(followed: Followed, store: Store) -> None:
    """Each call of the API about a server looks at the records, which for 1,000 servers are 300 kB."""
    directory = followed.directory
    assert await directory.current() is directory.defined
    await Registry(store, list).create("two", "Server two")
    assert sorted(await directory.current()) == ["one", "two"]


async def test_a_server_with_the_name_of_another_is_warned_of_once(
    followed: Followed, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(store, list)
    await registry.create("two", "Server one")
    await followed.serves("one", "two")
    await registry.create("three", "Server three")
    await followed.serves("one", "two", "three")
    assert caplog.text.count("two: one has the same name") == 1


async def test_a_change_is_found_at_the_next_look_without_its_hint(
    followed: Followed, redis_server: RedisServer
) -> None:
    silent = SilentStore(redis_server.url)
    await Registry(silent, list).create("two", "Server two")
    await silent.close()
    await followed.serves("one", "two")
    assert CHECK_EVERY_S < 2.0


async def rotated(followed: Followed, store: Store) -> Registry:
    """The replaced key of "two" works for a day."""
    registry = Registry(store, list)
    await registry.create("two", "Server two")
    await registry.rotate("two", overlap_s=DAY_S)
    await until(lambda: "two" in followed.served and len(followed.served["two"].keys) == 2)
    return registry


async def test_a_replaced_key_ends_without_a_change_of_the_record(followed: Followed, store: Store) -> None:
    registry = await rotated(followed, store)
    await registry.rotate("two", overlap_s=1.2, force=True)
    await until(lambda: len(followed.served["two"].keys) == 1)


@pytest.mark.parametrize("step_s", [8 * DAY_S, -8 * DAY_S])
async def test_a_step_of_the_clock_closes_no_replaced_key_early(
    followed: Followed, store: Store, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    await rotated(followed, store)
    set_clock(store, step_s, monkeypatch)
    await Registry(store, list).create("three", "Server three")
    await followed.serves("one", "two", "three")
    assert len(followed.served["two"].keys) == 2
    started_anew = Followed(store, followed.config)
    await started_anew.serves("one", "two", "three")
    await cancelled(started_anew.watching)
    assert len(started_anew.served["two"].keys) == 2


async def test_a_step_of_the_clock_back_keeps_no_replaced_key_open(
    followed: Followed, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await rotated(followed, store)
    await registry.rotate("two", overlap_s=1.5, force=True)
    set_clock(store, -8 * DAY_S, monkeypatch)
    await until(lambda: len(followed.served["two"].keys) == 1)


async def test_an_edit_of_the_file_takes_effect(followed: Followed) -> None:
    followed.config.write_text(block("one") + block("two"))
    await followed.serves("one", "two")
    followed.config.write_text('[takaro]\nregistration_token = "fleet"\n' + block("two"))
    await followed.serves("two")
    assert followed.served["two"].instance.registration_token is not None


async def test_a_wrong_edit_is_logged_once_and_changes_nothing(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.config.write_text("[[instance]\n")
    await until(lambda: followed.failed == [1])
    await followed.checks_the_file_again()
    lines = [record.getMessage() for record in caplog.records if "not valid TOML" in record.getMessage()]
    assert len(lines) == 1 and "settings from before stay in force" in lines[0]
    assert followed.told == [["one"]]
    assert "not valid TOML" in followed.directory.about()["settings_refused"]
    followed.config.write_text(block("one") + block("three"))
    await followed.serves("one", "three")
    assert followed.failed == [1, 0]
    assert followed.directory.about()["settings_refused"] == ""


async def test_a_file_that_is_gone_changes_nothing(followed: Followed) -> None:
    followed.config.unlink()
    await until(lambda: followed.failed == [1])
    assert followed.told == [["one"]]


async def test_a_file_that_is_emptied_and_rewritten_is_never_seen_empty(followed: Followed) -> None:
    with followed.config.open("w") as file:
        for line in (block("one") + block("two")).splitlines(keepends=True):
            await asyncio.sleep(0.03)
            file.write(line)
            file.flush()
    await followed.serves("one", "two")
    assert followed.told == [["one"], ["one", "two"]]


async def test_servers_are_written_into_an_emptied_redis(followed: Followed, store: Store) -> None:
    registry = Registry(store, list)
    issued = await registry.create("stored", "Stored")
    await registry.create("gone", "Gone")
    await registry.remove("gone")
    await followed.serves("one", "stored")
    for key in (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS):
        store.send_unawaited("DEL", key)

    async def written() -> bool:
        found = (await registry.records.read()).records()
        assert found is not None
        return found == {"stored": issued.record}

    await until(written)
    assert sorted(followed.served) == ["one", "stored"] and ["one"] not in followed.told[2:]


STORED = ("a", "b", "c")


@pytest.fixture
async def emptied(followed: Followed, store: Store, tmp_path: Path) -> AsyncIterator[list[Followed]]:
    """Two services that know three stored servers, which were deleted from Redis since their last look."""
    registry = Registry(store, list)
    for slug in STORED:
        await registry.create(slug, f"Server {slug}")
    other = Followed(store, followed.config)
    for service in (followed, other):
        await service.serves("one", *STORED)
    await store.send("DEL", INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS)
    yield [followed, other]
    await cancelled(other.watching)


@pytest.mark.parametrize("failing", [1, 2])
async def test_servers_are_written_all_or_none_if_redis_goes_away_meanwhile(
    emptied: list[Followed], store: Store, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """A service that found only some of the servers would take them for all."""
    calls = reads = 0
    run_until = store.run_until

    async def run(within_s: float, script: Script, *args: Any, **options: Any) -> Any:
        nonlocal calls, reads
        reads += script.name == "read_instances"
        if script.name in ("put_back", "change_instance"):
            calls += 1
            if failing <= calls <= failing + 1:  # of both services
                raise StoreError("away")
        return await run_until(within_s, script, *args, **options)

    monkeypatch.setattr(store, "run_until", run)
    registry = Registry(store, list)
    found = await until(registry.records.read, met=lambda found: found.version)
    assert sorted(found.records() or ()) == sorted(STORED)
    seen = reads

    def read_again() -> bool:
        store.hint(WAKE_INSTANCES, "one")  # both services read because of it
        return reads >= seen + 6

    await until(read_again)
    for service in emptied:
        assert service.told[-1] == [*STORED, "one"] and not service.watching.done()


async def test_a_changed_takaro_url_delays_all_changes_until_a_restart(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that was saved with the new address must not be sent to the old one."""
    text = '[takaro]\nurl = "ws://127.0.0.1:1/"\nregistration_token = "of the new one"\n'
    followed.config.write_text(text + block("two"))
    await until(lambda: "[takaro] url: takes effect when the relay is started again" in caplog.text)
    assert followed.told == [["one"]]
    assert followed.directory.about()["restart_needed_for"] == ["[takaro] url"]


async def test_a_setting_that_needs_a_restart_is_named(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.config.write_text("[modapi]\nport = 7777\n" + block("two"))
    await followed.serves("two")
    assert "[modapi] port: takes effect after a restart" in caplog.text
    assert followed.directory.about()["restart_needed_for"] == ["[modapi] port"]
    followed.config.write_text(block("one"))  # as it was
    await followed.serves("one")
    assert followed.directory.about() == {"restart_needed_for": [], "settings_refused": ""}


async def test_sighup_reads_a_secret_file_again(followed: Followed, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("first-key-0123456789")
    text = block("one").replace("mod_keys", "mod_keys_file").replace('["key-of-one-0123456789"]', '"keys"')
    followed.config.write_text(text)
    await until(lambda: len(followed.told) == 2)
    first = followed.served["one"].keys
    (tmp_path / "keys").write_text("other-key-0123456789")
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: followed.served["one"].keys != first)


async def test_while_redis_is_away_stored_instances_stay_and_edits_take_effect(
    tmp_path: Path,
) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(block("one"))
    store = Store(f"unix://{tmp_path}/nobody")
    followed = Followed(store, config)
    try:
        await followed.serves("one")
        config.write_text(block("one") + block("two"))
        await followed.serves("one", "two")
        assert not followed.directory.complete.is_set()
    finally:
        await cancelled(followed.watching)
        await store.close()


async def test_a_change_for_modapi_reaches_modapi_and_restarts_no_link(
    followed: Followed,
) -> None:
    await followed.serves("one")
    before = instances(followed.served)
    followed.config.write_text(block("one").replace("key-of", "new-key-of") + 'log = "off"\nlog_per_s = 5\n')
    await until(lambda: followed.served["one"].instance.log == "off")
    assert followed.served["one"].instance.log_per_s == 5
    assert instances(followed.served) == before


@pytest.fixture
def garbage_runs() -> Iterator[list[str]]:
    """Each run of the garbage collector puts its phases here."""
    runs, before = list[str](), gc.get_threshold()

    def ran(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    gc.callbacks.append(ran)
    yield runs
    gc.callbacks.remove(ran)
    gc.set_threshold(*before)


async def test_the_garbage_collector_leaves_the_burst_of_a_large_fleet_alone(
    followed: Followed, garbage_runs: list[str]
) -> None:
    slugs = [f"server-{number}" for number in range(100)]
    followed.config.write_text("".join(map(block, slugs)))
    await followed.serves(*slugs)
    gc.collect()
    garbage_runs.clear()
    burst: list[list[None]] = [[] for _ in range(200_000)]
    assert not garbage_runs, "two thousand objects for each server are no garbage"
    burst += [[] for _ in range(20_000)]
    assert garbage_runs, "but garbage is collected"
