"""`dayz-relay dlq …`: events that were put aside, listed, shown, taken in again, dropped."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry

from services.cli.desk import Desk, opened
from services.cli.terminal import BOLD, DIM, Paint, complain, cut, date, moment, print_json, safe, table
from services.modapi.metrics import Metrics
from services.modapi.repeats import Repeated, intake_of, repeat, why_not
from services.relay.errors import ConfigError
from services.relay.event_stream import NOTE_AFTER_S
from services.relay.instances.dead_letters import DeadLetters, Letter
from services.relay.settings import Settings

PAGE = 100
DETAIL_COLUMNS = 70


def run(args: Namespace, settings: Settings) -> int:
    """0 if it was done. Raises ConfigError, StoreError, NoSuchInstance."""
    return asyncio.run(_run(args, settings))


async def _run(args: Namespace, settings: Settings) -> int:
    command: Callable[[Desk, DeadLetters, Namespace], Awaitable[int]] = _COMMANDS[args.action]
    async with opened(settings, args.data) as desk:
        slug = (await desk.entry(args.slug)).instance.slug
        return await command(desk, DeadLetters(desk.store, slug), args)


async def _list(desk: Desk, letters: DeadLetters, args: Namespace) -> int:
    found = await letters.newest(args.count)
    if args.json:
        print_json([_plain(letter) for letter in found])
        return 0
    if not found:
        print(f"{args.slug} has no dead letters.")
        return 0
    rows = [
        (letter.id, date(letter.at_ms), letter.reason, cut(safe(letter.detail), DETAIL_COLUMNS))
        for letter in found
    ]
    paint = Paint.of(sys.stdout)
    print(*table(("ID", "TIME", "REASON", "DETAIL"), rows, paint), sep="\n")
    if len(found) == args.count and await letters.newest(1, before=found[-1].id):
        print(paint("there are older ones: --count N", DIM))
    return 0


async def _show(desk: Desk, letters: DeadLetters, args: Namespace) -> int:
    letter = await letters.get(args.id)
    if letter is None:
        complain(f"{args.slug} has no dead letter {args.id}")
        return 1
    if args.json:
        print_json(_plain(letter))
        return 0
    paint = Paint.of(sys.stdout)
    print(f"{paint(letter.id, BOLD)}  {moment(letter.at_ms)}  {safe(letter.reason)}\n{safe(letter.detail)}\n")
    print(*(safe(line) for line in letter.raw.decode(errors="backslashreplace").splitlines()), sep="\n")
    if reason := why_not(letter):
        print(paint(f"\nIt cannot be repeated: {reason}.", DIM))
    return 0


async def _retry(desk: Desk, letters: DeadLetters, args: Namespace) -> int:
    """As modapi takes in what a mod sends, under a name of its own."""
    intake = intake_of(desk.store, args.slug, Metrics(CollectorRegistry()), desk.settings.limits)
    done = True
    async for letter in _chosen(letters, args):
        if letter is None or (args.all and why_not(letter)):
            done = args.all
            continue
        came = await repeat(letters, intake, letter.id)
        reason = f": {why}" if came is Repeated.NOT_POSSIBLE and (why := why_not(letter)) else ""
        print(f"{letter.id}: {came.value}{reason}")
        done = done and came is Repeated.TAKEN
    await asyncio.sleep(2 * NOTE_AFTER_S)  # the last of them is still being noted as answered
    return int(not done)


async def _drop(desk: Desk, letters: DeadLetters, args: Namespace) -> int:
    dropped = 0
    async for letter in _chosen(letters, args):
        dropped += letter is not None and await letters.drop(letter.id)
    print(f"{dropped} dropped")
    return int(not dropped and not args.all)


async def _chosen(letters: DeadLetters, args: Namespace) -> AsyncIterator[Letter | None]:
    """The one that was named (None: it is not there), or with --all those that are there now."""
    if bool(args.id) == args.all:
        raise ConfigError("name one id (`dayz-relay dlq list` shows them), or --all")
    if not args.all:
        letter = await letters.get(args.id)
        if letter is None:
            complain(f"{args.slug} has no dead letter {args.id}")
        yield letter
        return
    before = ""
    newest: list[Letter] = []
    while page := await letters.newest(PAGE, before):
        newest += page
        before = page[-1].id
    for letter in reversed(newest):  # in the order in which they came
        yield letter


def _plain(letter: Letter) -> dict[str, Any]:
    told = {"id": letter.id, "at": moment(letter.at_ms), "reason": letter.reason, "detail": letter.detail}
    return {
        **told,
        "raw": letter.raw.decode(errors="backslashreplace"),
        "cannot_be_repeated": why_not(letter),
    }


_COMMANDS: dict[str, Callable[[Desk, DeadLetters, Namespace], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}
