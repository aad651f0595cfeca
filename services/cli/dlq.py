"""`dayz-relay dlq …`: lists, shows, retries and drops dead letters."""

from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import CollectorRegistry
from rich.text import Text

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Rows, cut, label, show
from services.cli.terminal import complain, date, is_meant, moment, print_json, program, safe
from services.modapi.dead_letter_retry import RetryResult, intake_of, retry_one, why_no_retry
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import facts_of_all
from services.relay.protocol.errors import ConfigError

PAGE = 100
DETAIL_COLUMNS = 70


async def show_all(relay: OpenedRelay, *, slug: str | None, count: int, as_json: bool) -> None:
    """Print the newest ones of a server, or the number for each server."""
    if slug is None:
        await _show_counts(relay, as_json=as_json)
    else:
        await _show_newest(await _letters(relay, slug), slug, count, as_json=as_json)


async def _show_counts(relay: OpenedRelay, *, as_json: bool) -> None:
    facts = await facts_of_all(relay.store, list(await relay.entries()))
    counts = {slug: one.dead for slug, one in facts.items() if one.dead}
    if as_json:
        print_json(counts)
    elif counts:
        rows = [(slug, str(count)) for slug, count in counts.items()]
        show(Rows(("SLUG", "DEAD"), rows))
    else:
        print("No server has dead letters.")


async def _show_newest(letters: DeadLetters, slug: str, count: int, *, as_json: bool) -> None:
    found = await letters.newest(count)
    if as_json:
        print_json([_plain(letter) for letter in found])
        return
    if not found:
        print(f"{slug} has no dead letters.")
        return
    rows = [
        (letter.id, date(letter.at_ms), letter.reason, cut(safe(letter.detail), DETAIL_COLUMNS))
        for letter in found
    ]
    show(Rows(("ID", "TIME", "REASON", "DETAIL"), rows, flexible="DETAIL"))
    if len(found) == count and await letters.newest(1, before=found[-1].id):
        show(label("there are older ones: --count N", "dim"))


async def show_one(relay: OpenedRelay, *, slug: str, letter_id: str, as_json: bool) -> int:
    """Print one as the mod sent it. Returns 1 if there is none."""
    letter = await (await _letters(relay, slug)).get(letter_id)
    if letter is None:
        complain(_gone(slug, letter_id))
        return 1
    if as_json:
        print_json(_plain(letter))
        return 0
    show(Text.assemble((letter.id, "bold"), f"  {date(letter.at_ms)}  {safe(letter.reason)}"))
    print(f"{safe(letter.detail)}\n")
    print(*(safe(line) for line in letter.raw.decode(errors="backslashreplace").splitlines()), sep="\n")
    if reason := why_no_retry(letter):
        show("", label(f"It cannot be retried: {reason}.", "dim"))
    return 0


async def retry(relay: OpenedRelay, *, slug: str, letter_id: str | None, every: bool) -> int:
    """Send one or all through the intake again. Returns 0 if all of them are on their way to Takaro."""
    _must_be_named(letter_id, every)
    letters = await _letters(relay, slug)
    intake = intake_of(relay.store, slug, ModapiMetrics(CollectorRegistry()), relay.settings.limits)
    tried = taken = left = 0
    async for letter in _chosen(letters, slug, letter_id):
        if every and why_no_retry(letter):
            left += 1
            continue
        came = await retry_one(letters, intake, letter.id)
        reason = f": {why}" if came is RetryResult.NOT_POSSIBLE and (why := why_no_retry(letter)) else ""
        print(f"{letter.id}: {came.value}{reason}")
        tried += 1
        taken += came is RetryResult.TAKEN
    if every and not tried:
        print(f"{slug} has no dead letter that can be retried.")
    if left:
        print(f"{left:,} cannot be retried: `{program()} dlq show` says why.")
    await intake.stream.write_notes()
    return int(taken < tried or not (tried or every))


async def drop(relay: OpenedRelay, *, slug: str, letter_id: str | None, every: bool, yes: bool) -> int:
    """Delete one or all. Returns 1 if nothing was deleted."""
    _must_be_named(letter_id, every)
    if every and not is_meant(f"Delete all dead letters of {slug}, for good?", yes=yes):
        return 1
    letters = await _letters(relay, slug)
    found = dropped = 0
    async for letter in _chosen(letters, slug, letter_id):
        found += 1
        dropped += await letters.drop(letter.id)
    if found or every:
        print(f"{dropped:,} dropped")
    return int(not dropped and not every)


def _must_be_named(letter_id: str | None, every: bool) -> None:
    if bool(letter_id) == every:
        raise ConfigError("name one id (`dayz-relay dlq list` shows them), or --all")


async def _letters(relay: OpenedRelay, slug: str) -> DeadLetters:
    return DeadLetters(relay.store, (await relay.entry(slug)).instance.slug)


async def _chosen(letters: DeadLetters, slug: str, letter_id: str | None) -> AsyncIterator[DeadLetter]:
    """The named dead letter, if there is one; without a name all of them, the oldest first."""
    if letter_id:
        if letter := await letters.get(letter_id):
            yield letter
        else:
            complain(_gone(slug, letter_id))
        return
    before = ""
    newest: list[DeadLetter] = []
    while page := await letters.newest(PAGE, before):
        newest += page
        before = page[-1].id
    for letter in reversed(newest):
        yield letter


def _gone(slug: str, letter_id: str) -> str:
    return f"{slug} has no dead letter {letter_id}"


def _plain(letter: DeadLetter) -> dict[str, Any]:
    told = {"id": letter.id, "at": moment(letter.at_ms), "reason": letter.reason, "detail": letter.detail}
    return {
        **told,
        "raw": letter.raw.decode(errors="backslashreplace"),
        "cannot_be_repeated": why_no_retry(letter) or None,
    }
