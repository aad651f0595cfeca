"""The words of the commands that look at a relay, at work or not."""

import argparse
import re
from collections.abc import Callable

from services.cli.places import add_place
from services.relay.vocabulary import Action, EventType

Add = Callable[[str, str], argparse.ArgumentParser]
"""Adds a command: its name, and what it is about."""

PASSING_TYPES = tuple(map(str, (*EventType, "refused", *Action)))
"""What passes; `refused`: an event that Takaro refused, which it does not name."""

MOST_LISTED = 1_000

_EXAMPLES = {
    "status": """\
  dayz-relay status                 all servers, renewed each second; Ctrl-C ends it
  dayz-relay status chernarus       one in detail, with what is wrong and what mends it
  dayz-relay status --json | jq -r '.[] | select(.up | not) | .slug'
exit codes: 0 all that is served is up, 1 something is not""",
    "doctor": """\
  dayz-relay doctor                 looks, changes nothing, disturbs nobody
  dayz-relay doctor --identify chernarus
  dayz-relay doctor --alerts        is Discord told?
exit codes: 0 nothing is wrong, 1 something is, 2 the settings are""",
    "tail": """\
  dayz-relay tail                   everything, of all servers
  dayz-relay tail chernarus livonia --type chat-message --type sendMessage
  dayz-relay tail --json | jq 'select(.fate != "delivered")'""",
    "say": """\
  dayz-relay say chernarus The server restarts in five minutes.
exit codes: 0 the game server has said it, 1 it has not, or nobody knows""",
    "players": """\
  dayz-relay players
  dayz-relay players chernarus --json""",
    "dlq": """\
  dayz-relay dlq list               how many each server has
  dayz-relay dlq list chernarus
  dayz-relay dlq show chernarus 1795243200000-0
  dayz-relay dlq retry chernarus --all
exit codes: 0 it was done (what was taken in again is on its way to Takaro), 1 it was not""",
    "completion": """\
  eval "$(dayz-relay completion bash)"      in ~/.bashrc
  eval "$(dayz-relay completion zsh)"       in ~/.zshrc, behind compinit""",
}


def add_looking(add: Add) -> None:
    """Adds them all."""
    status = add("status", "Show all servers live, or one in detail.")
    status.add_argument("slug", nargs="?", help="one server, in detail")
    status.add_argument("--once", action="store_true", help="print it once, on a terminal too")
    doctor = add("doctor", "Look for what is wrong, from the settings to Takaro, and say what mends it.")
    doctor.add_argument(
        "--identify",
        metavar="SLUG",
        help="log in to Takaro as this server too, unless the relay is logged in as it now",
    )
    doctor.add_argument(
        "--alerts", action="store_true", help="send a message to each address of [alerts], to see it arrive"
    )
    tail = add("tail", "Show events and commands as they pass, the last 50 of each first.")
    tail.add_argument("slugs", nargs="*", metavar="slug", help="some servers, else all")
    tail.add_argument(
        "--type",
        action="append",
        choices=PASSING_TYPES,
        metavar="TYPE",
        help=f"only these, may be given several times: {', '.join(PASSING_TYPES)}",
    )
    say = add("say", "Say something to everybody on a server, and wait until it is said.")
    say.add_argument("slug", help="the server")
    say.add_argument("text", nargs="+", help="what everybody there is to read")
    players = add("players", "Show who is online, as the relay knows it.")
    players.add_argument("slug", nargs="?", help="one server, else all")
    for one in (status, doctor, tail, players):
        one.add_argument("--json", action="store_true", help="as JSON")
    for one in (status, doctor, tail, players, say):
        add_place(one)
    _add_dlq(add("dlq", "Events that Takaro would refuse, or has refused: list, show, take in again, drop."))
    completion = add("completion", "Print what a shell needs to complete these commands.")
    completion.add_argument(
        "shell", choices=("bash", "zsh", "slugs"), help="yours; slugs: the servers, which shells ask for"
    )
    add_place(completion)


def examples(name: str) -> str | None:
    """What stands below the help of a command."""
    return f"examples:\n{_EXAMPLES[name]}" if name in _EXAMPLES else None


def _add_dlq(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, dest="action", metavar="action")
    for name, about in (
        ("list", "Show the newest."),
        ("show", "Show one whole, as the mod sent it."),
        ("retry", "Take one in again, or all: mended as they would be today."),
        ("drop", "Delete one, or all."),
    ):
        one = actions.add_parser(name, help=about, description=about)
        if name == "list":
            one.add_argument("slug", nargs="?", help="one server, else how many each has")
            one.add_argument("--count", type=_count, default=20, metavar="N", help="so many; without it 20")
        else:
            one.add_argument("slug", help="the server")
            one.add_argument(
                "id",
                type=_letter_id,
                nargs=None if name == "show" else "?",
                help="as `dlq list` shows it",
            )
        if name in ("retry", "drop"):
            one.add_argument("--all", action="store_true", help="all of this server")
        if name == "drop":
            one.add_argument("--yes", action="store_true", help="without asking whether all are meant")
        if name in ("list", "show"):
            one.add_argument("--json", action="store_true", help="as JSON")
        add_place(one)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_LISTED:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MOST_LISTED:,}")
    return int(text)


def _letter_id(text: str) -> str:
    if not re.fullmatch("[0-9]{1,15}-[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id of a dead letter: `dlq list` shows them")
    return text
