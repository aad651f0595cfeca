"""`dayz-relay dlq …`: events that were put aside, listed, shown, taken in again, dropped."""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry
from rich.text import Text

from services.cli.opened_relay import OpenedRelay, opened
from services.cli.tables import Rows, cut, label, show
from services.cli.terminal import complain, date, is_meant, moment, print_json, program, safe
from services.modapi.dead_letter_retry import Repeated, intake_of, repeat, why_not
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import facts_of_all
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings
from services.relay.store.event_stream import NOTE_AFTER_S

PAGE = 100
DETAIL_COLUMNS = 70


def run(args: Namespace, settings: Settings) -> int:
    """0 if it was done. Raises ConfigError, StoreError, NoSuchInstance."""
    if args.action in ("retry", "drop") and bool(args.id) == args.all:
        raise ConfigError("name one id (`dayz-relay dlq list` shows them), or --all")
    if args.action == "drop" and args.all:
        if not is_meant(f"Delete all dead letters of {args.slug}, for good?", yes=args.yes):
            return 1
    return asyncio.run(_run(args, settings))


async def _run(args: Namespace, settings: Settings) -> int:
    async with opened(settings, args.data) as relay:
        if args.slug is None:
            return await _count(relay, args)
        command: Callable[[OpenedRelay, DeadLetters, Namespace], Awaitable[int]] = _COMMANDS[args.action]
        slug = (await relay.entry(args.slug)).instance.slug
        return await command(relay, DeadLetters(relay.store, slug), args)


async def _count(relay: OpenedRelay, args: Namespace) -> int:
    facts = await facts_of_all(relay.store, list(await relay.entries()))
    counts = {slug: one.dead for slug, one in facts.items() if one.dead}
    if args.json:
        print_json(counts)
    elif counts:
        rows = [(slug, str(count)) for slug, count in counts.items()]
        show(Rows(("SLUG", "DEAD"), rows))
    else:
        print("No server has dead letters.")
    return 0


async def _list(relay: OpenedRelay, letters: DeadLetters, args: Namespace) -> int:
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
    show(Rows(("ID", "TIME", "REASON", "DETAIL"), rows, flexible="DETAIL"))
    if len(found) == args.count and await letters.newest(1, before=found[-1].id):
        show(label("there are older ones: --count N", "dim"))
    return 0


async def _show(relay: OpenedRelay, letters: DeadLetters, args: Namespace) -> int:
    letter = await letters.get(args.id)
    if letter is None:
        complain(_gone(args))
        return 1
    if args.json:
        print_json(_plain(letter))
        return 0
    show(Text.assemble((letter.id, "bold"), f"  {date(letter.at_ms)}  {safe(letter.reason)}"))
    print(f"{safe(letter.detail)}\n")
    print(*(safe(line) for line in letter.raw.decode(errors="backslashreplace").splitlines()), sep="\n")
    if reason := why_not(letter):
        show("", label(f"It cannot be repeated: {reason}.", "dim"))
    return 0


async def _retry(relay: OpenedRelay, letters: DeadLetters, args: Namespace) -> int:
    """As modapi takes in what a mod sends, under a name of its own."""
    intake = intake_of(relay.store, args.slug, ModapiMetrics(CollectorRegistry()), relay.settings.limits)
    tried = taken = left = 0
    async for letter in _chosen(letters, args):
        if args.all and why_not(letter):
            left += 1
            continue
        came = await repeat(letters, intake, letter.id)
        reason = f": {why}" if came is Repeated.NOT_POSSIBLE and (why := why_not(letter)) else ""
        print(f"{letter.id}: {came.value}{reason}")
        tried += 1
        taken += came is Repeated.TAKEN
    if args.all and not tried:
        print(f"{args.slug} has no dead letter that can be taken in again.")
    if left:
        print(f"{left:,} cannot be taken in again: `{program()} dlq show` says why.")
    await asyncio.sleep(3 * NOTE_AFTER_S)  # the last of them is still being noted as answered
    return int(taken < tried or not (tried or args.all))


async def _drop(relay: OpenedRelay, letters: DeadLetters, args: Namespace) -> int:
    found = dropped = 0
    async for letter in _chosen(letters, args):
        found += 1
        dropped += await letters.drop(letter.id)
    if found or args.all:
        print(f"{dropped:,} dropped")
    return int(not dropped and not args.all)


async def _chosen(letters: DeadLetters, args: Namespace) -> AsyncIterator[DeadLetter]:
    """The one that was named, if it is there, or with --all those that are there now."""
    if args.id:
        if letter := await letters.get(args.id):
            yield letter
        else:
            complain(_gone(args))
        return
    before = ""
    newest: list[DeadLetter] = []
    while page := await letters.newest(PAGE, before):
        newest += page
        before = page[-1].id
    for letter in reversed(newest):  # in the order in which they came
        yield letter


def _gone(args: Namespace) -> str:
    return f"{args.slug} has no dead letter {args.id}"


def _plain(letter: DeadLetter) -> dict[str, Any]:
    told = {"id": letter.id, "at": moment(letter.at_ms), "reason": letter.reason, "detail": letter.detail}
    return {
        **told,
        "raw": letter.raw.decode(errors="backslashreplace"),
        "cannot_be_repeated": why_not(letter) or None,
    }


_COMMANDS: dict[str, Callable[[OpenedRelay, DeadLetters, Namespace], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}
