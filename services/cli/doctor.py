"""`dayz-relay doctor`: checks everything that a relay needs, and says what is wrong and how to fix it."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.text import Text

from services.cli import doctor_elsewhere, doctor_here
from services.cli.api import hint
from services.cli.append_only_files import complaint
from services.cli.place import opened_store
from services.cli.settings_of import loaded_from, warnings_of
from services.cli.tables import show, waiting_for
from services.cli.terminal import COMMAND_VARIABLE, many, print_json, runnable, safe
from services.cli.verdict import Verdict, VerdictLevel, bad, good, warn
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.diagnosis import diagnose, wrong_keys
from services.relay.instances.directory import Directory
from services.relay.instances.facts import facts_of, facts_of_all
from services.relay.instances.mod_config import mod_url
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.protocol.errors import ConfigError, NoSuchInstance, StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service import logs
from services.relay.service.settings import Settings
from services.relay.service.text_files import is_there
from services.relay.store.client import Store

_COLOURS = {VerdictLevel.GOOD: "green", VerdictLevel.WARN: "yellow", VerdictLevel.BAD: "red"}

UNSEEN = warn("not looked at, for the store cannot be asked")


async def run(config: Path, data: Path, *, identify: str | None, alerts: bool, as_json: bool) -> int:
    """Check and print. Returns 0 if nothing is wrong, 1 if something is. Raises ConfigError."""
    loaded = loaded_from(config)
    settings = loaded.settings
    shown: list[tuple[str, Verdict]] = []

    def report(title: str, verdicts: Sequence[Verdict]) -> None:
        clean = [
            replace(one, what=runnable(logs.clean(one.what)), fix=runnable(logs.clean(one.fix)))
            for one in verdicts
        ]
        shown.extend((title, verdict) for verdict in clean)
        if as_json:
            return
        show("", Text(title, "bold"))
        for one in clean:
            show(Text.assemble("  ", (one.level.ljust(8), _COLOURS[one.level]), f" {safe(one.what)}"))
            if one.fix:
                show(Text.assemble("  ", ("fix".ljust(8), "dim"), f" {safe(one.fix)}"))

    valid = f"{config} and the environment are" if is_there(config) else "the environment is"
    report("Settings", [*(warn(line) for line in warnings_of(loaded)), good(f"{valid} valid")])
    takaro = asyncio.create_task(doctor_elsewhere.takaro(settings))
    async with contextlib.AsyncExitStack() as held:
        store = None
        try:
            store = await held.enter_async_context(opened_store(settings, data))
            redis = await doctor_here.store(store)
        except ConfigError as error:
            redis = [bad(str(error))]
        if os.environ.get(COMMAND_VARIABLE):  # in a container of its own
            report("Services", await doctor_here.services_of_compose(settings))
        else:
            report("Services", await doctor_here.services(settings, store))
        if settings.redis.url is None and redis[0].level is VerdictLevel.BAD and (damage := complaint(data)):
            redis = [bad(damage)]  # that is why the store of `up` cannot be used
        report("Redis", redis)
        with waiting_for("Takaro"):
            found = await takaro
        report("Takaro", found)
        report("Servers", await _verdicts_of(_instances(store, settings)) if store else [UNSEEN])
        if identify:
            identified = await _verdicts_of(_identify(store, settings, identify)) if store else [UNSEEN]
            report(f"Identify as {identify}", identified)
        if alerts:
            report("Alerts", await doctor_elsewhere.alerts(settings.alerts))
    levels = Counter(verdict.level for _, verdict in shown)
    wrong, notes = levels[VerdictLevel.BAD], levels[VerdictLevel.WARN]
    if as_json:
        print_json({"ok": not wrong, "verdicts": [{"section": at, **asdict(one)} for at, one in shown]})
    else:
        total = many(wrong, "problem") if wrong else "Nothing is wrong"
        total += f"; {many(notes, 'note')}." if notes else "."
        show("", Text(total, "bold red" if wrong else "bold green"))
    return int(wrong > 0)


async def _verdicts_of(checks: Awaitable[list[Verdict]]) -> list[Verdict]:
    try:
        return await checks
    except (StoreError, NoSuchInstance) as error:
        return [bad(str(error))]


async def _definitions(store: Store, settings: Settings) -> dict[str, DefinedInstance]:
    return await Directory(settings, None, {}, store, lambda _: None).current()


async def _instances(store: Store, settings: Settings) -> list[Verdict]:
    """Why servers are not up, and the fixes. Servers that are up are only counted."""
    defined = await _definitions(store, settings)
    if not defined:
        return [
            bad("there is no server yet", "add an [[instance]] to relay.toml, or `dayz-relay instance add`")
        ]
    facts = await facts_of_all(store, list(defined))
    named, of_fleet = wrong_keys(defined, facts, await WrongKeyCalls(store).all())
    found = [warn(problem.what, problem.fix) for problem in of_fleet]
    up = 0
    for slug, definition in defined.items():
        problems = diagnose(definition, facts[slug], mod_url(settings.modapi), named.get(slug))
        up += not problems
        for problem in problems:
            serious = problem.serious and not definition.disabled
            found.append((bad if serious else warn)(f"{slug}: {problem.what}", problem.fix))
    found.sort(key=lambda verdict: verdict.level is not VerdictLevel.BAD)
    return [*found, good(f"{up:,} up")] if up else found


async def _identify(store: Store, settings: Settings, slug: str) -> list[Verdict]:
    """Log in to Takaro, unless the relay is logged in: Takaro would then send its requests to our socket."""
    defined = await _definitions(store, settings)
    if slug not in defined:
        raise NoSuchInstance(f"there is no server {slug} ({hint(slug, list(defined))})")
    facts = await facts_of(store, slug)
    if facts.uplink and facts.link == LinkState.READY:
        return [
            good(f"the relay is identified as {slug} right now: nothing was tried, it would be disturbed")
        ]
    return await doctor_elsewhere.identify(settings, defined[slug].instance)
