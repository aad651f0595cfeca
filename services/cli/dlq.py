"""`dayz-relay dlq …`: lists, shows, retries and drops dead letters."""

from typing import Any

from rich.text import Text

from services.cli.api import RelayApi, server_path
from services.cli.tables import Rows, cut, label, show
from services.cli.terminal import date, is_meant, print_json, program, safe
from services.relay.protocol.errors import ConfigError

DETAIL_COLUMNS = 70

TAKEN, NOT_POSSIBLE = "taken", "not_possible"
_OUTCOMES = {
    TAKEN: "on the way to Takaro",
    "dead_again": "could not be repaired this time either",
    "full": "too many events wait for Takaro: try again later",
}


def is_one(letter_id: str | None, every: bool) -> bool:
    """Whether one is meant, and not all. Raises ConfigError if neither is said, or both."""
    if bool(letter_id) == every:
        raise ConfigError("name one id (`dayz-relay dlq list` shows them), or --all")
    return not every


async def show_counts(relay: RelayApi, *, as_json: bool) -> None:
    """Print the number for each server that has some."""
    counts = {one["slug"]: one["dead_letters"] for one in await relay.servers() if one["dead_letters"]}
    if as_json:
        print_json(counts)
    elif counts:
        show(Rows(("SLUG", "DEAD"), [(slug, str(count)) for slug, count in counts.items()]))
    else:
        print("No server has dead letters.")


async def show_newest(relay: RelayApi, slug: str, count: int, *, as_json: bool) -> None:
    """Print the newest ones of a server."""
    page = await relay.get(_path(slug), limit=count)
    found = page["dead_letters"]
    if as_json:
        print_json(found)
    elif not found:
        print(f"{slug} has no dead letters.")
    else:
        rows = [
            (one["id"], date(one["at"]), one["reason"], cut(safe(one["detail"]), DETAIL_COLUMNS))
            for one in found
        ]
        show(Rows(("ID", "TIME", "REASON", "DETAIL"), rows, flexible="DETAIL"))
        if page["next_cursor"]:
            show(label("there are older ones: --count N", "dim"))


async def show_one(relay: RelayApi, slug: str, letter_id: str, *, as_json: bool) -> None:
    """Print one as the mod sent it."""
    letter = await relay.get(_path(slug, letter_id))
    if as_json:
        print_json(letter)
        return
    show(Text.assemble((letter["id"], "bold"), f"  {date(letter['at'])}  {safe(letter['reason'])}"))
    print(f"{safe(letter['detail'])}\n")
    print(*map(safe, letter["raw"].splitlines()), sep="\n")
    if letter["no_retry"]:
        show("", label(f"It cannot be retried: {letter['no_retry']}.", "dim"))


async def retry_one(relay: RelayApi, slug: str, letter_id: str, *, as_json: bool) -> int:
    """Retry one. Returns 0 if it is on its way to Takaro."""
    came = await relay.post(_path(slug, f"{letter_id}/retry"))
    if as_json:
        print_json(came)
    else:
        print(f"{letter_id}: {came['text']}")
    return int(came["outcome"] != TAKEN)


async def retry_all(relay: RelayApi, slug: str, *, as_json: bool) -> int:
    """Retry all. Returns 0 if those that can be retried are on their way to Takaro."""
    came = await relay.post(_path(slug, "retry"))
    tried = dict(came["counts"])
    left = tried.pop(NOT_POSSIBLE, 0)
    if as_json:
        print_json(came)
    else:
        for outcome, count in tried.items():
            print(f"{count:,} {_OUTCOMES.get(outcome, outcome)}")
        if not tried:
            print(f"{slug} has no dead letter that can be retried.")
        if left:
            print(f"{left:,} cannot be retried: `{program()} dlq show` says why.")
    return int(any(outcome != TAKEN for outcome in tried))


async def drop_one(relay: RelayApi, slug: str, letter_id: str, *, as_json: bool) -> int:
    """Delete one."""
    await relay.call("DELETE", _path(slug, letter_id))
    return _dropped({"dropped": 1}, as_json=as_json)


async def drop_all(relay: RelayApi, slug: str, *, yes: bool, as_json: bool) -> int:
    """Delete all. Returns 1 if a person was asked and said no."""
    if not is_meant(f"Delete all dead letters of {slug}, for good?", yes=yes):
        return 1
    return _dropped(await relay.call("DELETE", _path(slug)), as_json=as_json)


def _dropped(answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(answer)
    else:
        print(f"{answer['dropped']:,} dropped")
    return 0


def _path(slug: str, more: str = "") -> str:
    return server_path(slug, f"/dead-letters/{more}".rstrip("/"))
