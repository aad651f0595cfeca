"""`dayz-relay dlq …`: lists, shows, retries and drops events that were put aside."""

from typing import Annotated

import typer

from services.cli.at_relay import Output, RelayApi, at_relay
from services.cli.options import MaybeSlug, Slug, Yes, argument, group
from services.cli.terminal import date, is_meant, program, safe
from services.relay.protocol.ends import RETRY_WORDS, RetryOutcome
from services.relay.protocol.errors import ConfigError
from services.relay.protocol.records import DEAD_LETTER_ID

MOST_LISTED = 1_000
DETAIL_COLUMNS = 70

app = group(
    "Dead letters, the events that cannot be delivered: list, show, retry, drop.",
    "dayz-relay dlq list               the number for each server",
    "dayz-relay dlq list chernarus",
    "dayz-relay dlq show chernarus 1795243200000-0",
    "dayz-relay dlq retry chernarus --all",
    "",
    "exit codes: 0 it was done (retried events are on their way to Takaro), 1 it was not",
)


def _letter_id(text: str) -> str:
    if not DEAD_LETTER_ID.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no id of a dead letter: `dlq list` shows them")
    return text


_ID = argument("ID", "As `dlq list` shows it.", parser=_letter_id)
MaybeId = Annotated[str | None, _ID]
All = Annotated[bool, typer.Option("--all", help="All of this server.")]


@at_relay(app, "list")
async def list_dead_letters(
    relay: RelayApi,
    slug: MaybeSlug = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=MOST_LISTED, help="How many.")] = 20,
) -> Output:
    """Show the newest dead letters of a server; without one their number for each.

    They are events that Takaro would refuse, or has refused.
    """
    from services.cli.tables import Rows, cut, label

    if not slug:
        counts = {one["slug"]: one["dead_letters"] for one in await relay.servers() if one["dead_letters"]}
        if not counts:
            return Output(counts, "No server has dead letters.")
        return Output(counts, Rows(("SLUG", "DEAD"), [(slug, str(count)) for slug, count in counts.items()]))
    page = await relay.get(_path(relay, slug), limit=count)
    found = page["dead_letters"]
    if not found:
        return Output(found, f"{slug} has no dead letters.")
    rows = [
        (one["id"], date(one["at"]), one["reason"], cut(safe(one["detail"]), DETAIL_COLUMNS)) for one in found
    ]
    older = [label("there are older ones: --count N", "dim")] if page["next_cursor"] else []
    return Output(found, Rows(("ID", "TIME", "REASON", "DETAIL"), rows, flexible="DETAIL"), *older)


@at_relay(app, "show")
async def show_dead_letter(relay: RelayApi, slug: Slug, letter_id: Annotated[str, _ID]) -> Output:
    """Show one dead letter in full, as the mod sent it."""
    letter = await relay.get(_path(relay, slug, letter_id))
    no_retry = [f"\nIt cannot be retried: {safe(letter['no_retry'])}."] if letter["no_retry"] else []
    return Output(
        letter,
        f"{letter['id']}  {date(letter['at'])}  {safe(letter['reason'])}",
        f"{safe(letter['detail'])}\n",
        *map(safe, letter["raw"].splitlines()),
        *no_retry,
    )


@at_relay(app, "retry")
async def retry_dead_letters(
    relay: RelayApi, slug: Slug, letter_id: MaybeId = None, every: All = False
) -> Output:
    """Try to deliver a dead letter again, or all, repaired as they would be today."""
    _must_be_named(letter_id, every)
    came = await relay.post(_path(relay, slug, "retry" if every else f"{letter_id}/retry"))
    tried = dict(came["counts"]) if every else {came["outcome"]: 1}
    left = tried.pop(RetryOutcome.NOT_POSSIBLE, 0) if every else 0
    code = int(any(outcome != RetryOutcome.TAKEN for outcome in tried))
    if not every:
        return Output(came, f"{letter_id}: {came['text']}", code=code)
    parts = [f"{count:,} {RETRY_WORDS.get(outcome, outcome)}" for outcome, count in tried.items()]
    if not tried:
        parts.append(f"{slug} has no dead letter that can be retried.")
    if left:
        parts.append(f"{left:,} cannot be retried: `{program()} dlq show` says why.")
    return Output(came, *parts, code=code)


@at_relay(app, "drop")
async def drop_dead_letters(
    relay: RelayApi, slug: Slug, letter_id: MaybeId = None, every: All = False, yes: Yes = False
) -> Output | int:
    """Delete a dead letter, or all.

    With --all it asks first.
    """
    _must_be_named(letter_id, every)
    if every and not is_meant(f"Delete all dead letters of {slug}, for good?", yes=yes):
        return 1
    answer = await relay.call("DELETE", _path(relay, slug, letter_id or "")) or {"dropped": 1}
    return Output(answer, f"{answer['dropped']:,} dropped")


def _must_be_named(letter_id: str | None, every: bool) -> None:
    if bool(letter_id) == every:
        raise ConfigError("name one id (`dayz-relay dlq list` shows them), or --all")


def _path(relay: RelayApi, slug: str, more: str = "") -> str:
    return relay.path(slug, f"/dead-letters/{more}".rstrip("/"))
