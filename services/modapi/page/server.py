"""What the page of one server shows. Pure."""

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from services.modapi.fleet.rows import ServerRow
from services.modapi.page.rendering import Fragments, render
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.dead_letters import DeadLetter
from services.relay.instances.history import Minute
from services.relay.protocol.ends import RETRY_WORDS, STATE_WORDS

SHOWN = 50
DEAD_LETTERS = 20

_OUTCOMES = {**RETRY_WORDS, "dropped": "dropped", "gone": "gone already"}
"""The outcomes of a form, as they stand in the page's address and as people read them behind a number."""

ADDED = "The server is added. Put this config into its mod, and restart the DayZ server."
ROTATED = "The mod key is replaced. The key before it works for one more day."

_DONE = {
    "disabled": "is disabled: its mod is refused, and its link to Takaro is closed.",
    "enabled": "is enabled.",
}

_NUMBER = re.compile(r"[0-9]{1,4}")
_SLUG = re.compile(r"[a-z0-9-]{1,63}")

SETUP_S = 3600.0  # how long after a server was added its page shows the checklist, even if all is done


def retried(query: Mapping[str, str]) -> str:
    """The outcomes of a form of dead letters, as the page's address says them; "" if none was sent."""
    return "; ".join(
        f"{query[name]} {text}" for name, text in _OUTCOMES.items() if _NUMBER.fullmatch(query.get(name, ""))
    )


def notice(query: Mapping[str, str]) -> str:
    """The outcome of another form, as the page's address says it; "" if none was sent."""
    for name, text in _DONE.items():
        if _SLUG.fullmatch(query.get(name, "")):
            return f"{query[name]} {text}"
    return f"Message: {STATE_WORDS[query['message']]}" if query.get("message") in STATE_WORDS else ""


def activity(entries: Sequence[ActivityEntry]) -> Fragments:
    """Events of the game and commands that change it, the newest first."""
    newest = sorted(entries, key=lambda entry: -entry.at_ms)
    events, commands = ([one for one in newest if one.kind == kind][:SHOWN] for kind in ("event", "command"))
    return {
        "events": render("server_events", entries=events),
        "commands": render("server_commands", entries=commands),
    }


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


def is_in_setup(row: ServerRow) -> bool:
    """Whether the server is being connected: a step is not done, or it was added lately."""
    facts, added_ms = row.facts, row.definition.added_ms
    is_new = added_ms > 0 and facts.now_ms - added_ms < SETUP_S * 1000
    return row.definition.active and (is_new or facts.contact_ms is None or not facts.game_server_id)


def checklist(row: ServerRow, minutes: Sequence[Minute]) -> Markup:
    """The steps of connecting a server."""
    has_event = row.facts.events or row.facts.dead or any(minute.accepted for minute in minutes)
    return render("server_checklist", row=row, facts=row.facts, has_event=has_event)
