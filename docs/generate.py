"""Writes what comes from tables in the code: parts of services/ARCHITECTURE.md, the pages of the
API, of all commands, metrics and settings, the dashboards; and the version wherever it is named.
`make docs` runs it."""

from pathlib import Path

from docs import api, commands, dashboards, egg, metrics, repeated, settings
from services.modapi.dialect.events import EVENT_MAPPERS
from services.modapi.dialect.flatten import FLATTENERS
from services.modapi.dialect.results import RESULT_MAPPERS
from services.relay.protocol import command_states as command_table
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind, EventType
from services.uplink.connection.states import MOVES
from services.uplink.takaro.answer_rules import ANSWER_RULES
from services.uplink.takaro.requests import ARGUMENTS

PAGE = Path(__file__).parent.parent / "services" / "ARCHITECTURE.md"


def states() -> str:
    """The moves of a link, as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {LinkState.WAITING.value}"]
    for state, moves in MOVES.items():
        lines += [f"    {state.value} --> {after.value}: {what.value}" for what, after in moves.items()]
    return "\n".join([*lines, f"    {LinkState.STOPPED.value} --> [*]", "```"])


def command_states() -> str:
    """The moves of a command, as a Mermaid diagram, and what Takaro hears at each end."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {command_table.CommandState.NEW.value}"]
    for state, moves in command_table.MOVES.items():
        by_end: dict[command_table.CommandState, list[str]] = {}
        for what, after in moves.items():
            by_end.setdefault(after, []).append(what.value)
        lines += [
            f"    {state.value} --> {after.value}: {', or '.join(whats)}" for after, whats in by_end.items()
        ]
    lines += [f"    {end.value} --> [*]" for end in command_table.ANSWERS]
    rows = ["| end | what Takaro hears |", "|---|---|"]
    rows += [f"| {end.value} | {told} |" for end, told in command_table.ANSWERS.items()]
    return "\n".join([*lines, "```", "", *rows])


def coverage() -> str:
    """Which code has each event and each action in hand."""
    rows = ["| event | modapi/dialect/events.py |", "|---|---|"]
    rows += [f"| `{event}` | `{EVENT_MAPPERS[event].__name__}` |" for event in EventType]
    rows += ["", "| action | kind | arguments | to the mod | from the mod | to Takaro |"]
    rows += ["|---|---|---|---|---|---|"]
    for action in Action:
        kind = ACTION_KINDS[action]
        tables = (ARGUMENTS, FLATTENERS, RESULT_MAPPERS, ANSWER_RULES)
        hands = ["✔" if action in table else "✘" for table in tables]
        if kind is ActionKind.OURS:
            hands[1:3] = ["not asked", "not asked"]
        rows.append(f"| `{action}` | {kind} | {' | '.join(hands)} |")
    return "\n".join(rows)


def written(page: str) -> str:
    """`page` with its generated parts renewed."""
    for name, text in (("states", states()), ("command-states", command_states()), ("coverage", coverage())):
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->")
        page = f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    api.PAGE.write_text(api.page())
    commands.PAGE.write_text(commands.page())
    metrics.PAGE.write_text(metrics.page())
    settings.PAGE.write_text(settings.page())
    dashboards.write()
    egg.PAGE.write_text(egg.page())
    for path, text in repeated.files().items():
        path.write_text(text)
