"""Sends a message to everybody on a game server, and returns its outcome. It does not use uplink's queue of
commands: modapi imports nothing of uplink, and messages are rare.
"""

import asyncio
import contextlib
import hashlib
import itertools
import secrets
import time

from services.relay.instances.activity import ActivityEntry, publish
from services.relay.instances.definitions import DefinedInstance
from services.relay.protocol.command_states import CommandState, new_operation_id
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.errors import InstanceConflict, StoreError
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S, Action
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream

MAX_MESSAGE_CHARS = 500

READ_EVERY_S = 0.1
READ_RESULTS = 200

_SECRET, _NUMBERS = secrets.token_bytes(16), itertools.count(1)  # for the ids of entries (activity.py)


def check_enabled(definition: DefinedInstance) -> None:
    """Raises InstanceConflict for a disabled server: its mod is refused, so nobody would fetch a message."""
    if definition.disabled:
        raise InstanceConflict(f"not delivered: {definition.instance.slug} is disabled; enable it first")


async def send_message(store: Store, slug: str, text: str, most_waiting: int) -> ActivityEntry:
    """Queues the message for the mod and waits for its end, up to ANSWER_WITHIN_S; shows it to those who
    watch the server. If the mod refused, its text is in `detail`. QUEUE_FULL: `most_waiting` commands wait.

    Raises StoreError if the message may not be queued; if it is a NotCarriedOut, it certainly is not.
    """
    command = Command(new_operation_id(Action.SEND_MESSAGE), Action.SEND_MESSAGE, {"message": text})
    begun_s = time.monotonic()
    word, detail = await _end(CommandStream(store, slug, most_waiting), command, begun_s)
    took_ms = round((time.monotonic() - begun_s) * 1000)
    entry = ActivityEntry(
        "command", int(time.time() * 1000), command.action, command.args, word, took_ms, detail
    )
    run = hashlib.blake2s(slug.encode(), key=_SECRET, digest_size=4).hexdigest()
    publish(store, slug, run, [(next(_NUMBERS), entry)])
    return entry


async def _end(commands: CommandStream, command: Command, begun_s: float) -> tuple[CommandEnd, str]:
    """How the command ended, and the text of the mod's refusal."""
    if not await commands.enqueue(command, begun_s + HAND_OUT_WITHIN_S):
        return CommandEnd.QUEUE_FULL, ""
    after, is_over = "", False
    while not is_over:
        await asyncio.sleep(READ_EVERY_S)
        is_over = time.monotonic() - begun_s >= ANSWER_WITHIN_S
        with contextlib.suppress(StoreError):
            if is_over and await commands.give_up(command.operation_id) is CommandState.EXPIRED:
                return CommandEnd.NOT_DELIVERED, ""
            # After give_up, too: the mod may have answered just before it.
            for entry, operation_id, outcome in await commands.results(after, READ_RESULTS):
                after = entry
                if operation_id != command.operation_id:
                    continue
                # Otherwise an uplink would count it as a result that nobody waited for.
                with contextlib.suppress(StoreError):
                    await commands.delete_unclaimed(entry)
                return outcome.end, outcome.error
    return CommandEnd.NO_RESULT, ""
