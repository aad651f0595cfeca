"""`dayz-relay say`: a message to everybody on a game server, and what became of it."""

import asyncio
import time

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import waiting_for
from services.cli.terminal import ago, complain, safe
from services.relay.instances.activity import ActivityEntry, ActivityFeed
from services.relay.instances.facts import facts_of
from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED, CommandState, new_operation_id
from services.relay.protocol.errors import ConfigError, NotCarriedOut, StoreError
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S, Action
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.uplink.takaro.failures import Cause
from services.uplink.takaro.requests import BadRequest, read_request

LOOK_EVERY_S = 0.1
READ_RESULTS = 200

_CAUSES = {None: Cause.QUEUE_FULL, CommandState.EXPIRED: Cause.NOT_DELIVERED}


async def run(relay: OpenedRelay, *, slug: str, text: str) -> int:
    """0 if the game server has said it. Raises ConfigError, StoreError, NoSuchInstance."""
    try:
        action, arguments = read_request(Action.SEND_MESSAGE, {"message": text})
    except BadRequest as error:
        raise ConfigError(str(error)) from None
    slug = (await relay.entry(slug)).instance.slug
    commands = CommandStream(relay.store, slug, relay.settings.limits.open_commands)
    command = Command(new_operation_id(action), action, arguments)
    begun_s = time.monotonic()
    try:
        with waiting_for(slug):
            fate = await _fate(commands, command)
    except NotCarriedOut as error:
        raise StoreError(f"{NOT_DELIVERED}: {error}") from error
    _show(relay.store, slug, _passed(command, fate, time.monotonic() - begun_s))
    if isinstance(fate, Outcome) and not fate.error:
        print(f"said on {slug}, after {time.monotonic() - begun_s:.1f} s")
        return 0
    complain(await _why(relay.store, slug, fate))
    return 1


async def _fate(commands: CommandStream, command: Command) -> Outcome | CommandState | None:
    """The mod's answer, or how far the command came; None: too many wait. Raises StoreError."""
    begun_s = time.monotonic()
    if not await commands.enqueue(command, begun_s + HAND_OUT_WITHIN_S):
        return None
    through = ""
    while time.monotonic() - begun_s < ANSWER_WITHIN_S:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            found = await commands.results(through, READ_RESULTS)
        except StoreError:
            continue
        for entry, operation_id, outcome in found:
            through = entry
            if operation_id == command.operation_id:
                await commands.delete_unclaimed(
                    entry
                )  # an uplink would count it as one that nobody waited for
                return outcome
    return await commands.give_up(command.operation_id) or CommandState.UNKNOWN


def _show(store: Store, slug: str, passed: ActivityEntry) -> None:
    """Publish it to those who watch now, as the owner publishes Takaro's commands."""
    passing = ActivityFeed(store, slug)
    passing.watched("somebody, perhaps")
    passing.command(passed)


def _passed(command: Command, fate: Outcome | CommandState | None, took_s: float) -> ActivityEntry:
    if isinstance(fate, Outcome):
        end, detail = ("refused" if fate.error else "answered"), fate.error
    else:
        end, detail = _CAUSES.get(fate, Cause.NO_RESULT).value, ""
    now_ms = int(time.time() * 1000)
    return ActivityEntry("command", now_ms, command.action, command.args, end, round(took_s * 1000), detail)


async def _why(store: Store, slug: str, fate: Outcome | CommandState | None) -> str:
    if isinstance(fate, Outcome):
        return f"{slug} refused it: {safe(fate.error)}"
    if fate is None:
        return f"{NOT_DELIVERED}: too many commands wait for {slug}"
    if fate is CommandState.EXPIRED:
        silent_s = (await facts_of(store, slug)).silent_s
        heard = "has never called" if silent_s is None else f"was last heard of {ago(silent_s)} ago"
        return f"{NOT_DELIVERED}: the mod of {slug} {heard}"
    return MAY_HAVE_RUN
