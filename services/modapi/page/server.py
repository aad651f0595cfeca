"""What the page of one server shows. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from services.modapi.page.chart import charts
from services.modapi.page.rendering import Fragments, render
from services.modapi.page.view import PageRow
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.dead_letters import DeadLetter
from services.relay.instances.entries import Origin
from services.relay.instances.minutes import Minute
from services.relay.instances.mod_config import listens_everywhere, mod_config, mod_url
from services.relay.protocol.vocabulary import ACTION_RULES, Action, ActionKind
from services.relay.service.settings import ModApi

SHOWN = 50
DEAD_LETTERS = 20

_OUTCOMES = {
    "taken": "on the way to Takaro",
    "dead_again": "became a dead letter again",
    "not_possible": "cannot be retried",
    "full": "kept: too many events wait for Takaro, try again later",
    "dropped": "dropped",
    "gone": "gone already",
}
"""The outcomes of a form, as they stand in the page's address and as people read them behind a number."""

_NUMBER = re.compile(r"[0-9]{1,4}")


def notice(query: Mapping[str, str]) -> str:
    """The outcome of the form that was sent last; "" if none was."""
    return "; ".join(
        f"{query[name]} {words}"
        for name, words in _OUTCOMES.items()
        if _NUMBER.fullmatch(query.get(name, ""))
    )


def facts(row: PageRow) -> Markup:
    """How the server is now."""
    return render("server_facts", row=row)


def activity(entries: Sequence[ActivityEntry]) -> Fragments:
    """Events of the game and commands of Takaro, the newest first. Reads are too many to be read."""
    writes = [entry for entry in entries if entry.kind == "command" and is_write(entry.what)]
    events = [entry for entry in entries if entry.kind == "event"]
    return {
        "events": render("server_events", entries=_newest(events)),
        "commands": render("server_commands", entries=_newest(writes)),
    }


def hour(minutes: Sequence[Minute]) -> Markup:
    """The charts of the last hour."""
    return render("server_hour", charts=charts(minutes))


def dead_letters(slug: str, found: Sequence[DeadLetter], form_key: str, older: bool = False) -> Markup:
    """Dead letters, the newest first. `older`: these are not the newest of all."""
    return render(
        "server_dead_letters",
        slug=slug,
        dead_letters=found,
        form_key=form_key,
        older=older,
        page_size=DEAD_LETTERS,
    )


def setup(row: PageRow, modapi: ModApi) -> dict[str, Any]:
    """The values of setup.html. It shows no keys: of stored ones only digests are known."""
    in_file = row.entry.origin is Origin.FILE
    keyless = in_file and not row.entry.keys
    return {
        "config": mod_config(mod_url(modapi), "" if keyless else "<mod key>"),
        "keyless": keyless,
        "in_file": in_file,
        "listens_everywhere": listens_everywhere(modapi),
        "host": modapi.host,
    }


def is_write(action: str) -> bool:
    return action in ACTION_RULES and ACTION_RULES[Action(action)].kind is ActionKind.WRITE


def _newest(entries: Iterable[ActivityEntry]) -> list[ActivityEntry]:
    return sorted(entries, key=lambda entry: -entry.at_ms)[:SHOWN]
