"""The words of the commands that look at a relay, at work or not."""

import argparse
import re
from collections.abc import Callable

from services.cli.places import add_place
from services.relay.protocol.vocabulary import Action, EventType

Add = Callable[[str, str], argparse.ArgumentParser]
"""Adds a command: its name, and what it is about."""

PASSING_TYPES = tuple(map(str, (*EventType, "refused", *Action)))
"""What passes; `refused`: an event that Takaro refused, which it does not name."""

MOST_LISTED = 1_000

_EXAMPLES = {
    "status": """\
  dayz-relay status                 all servers, updated each second until Ctrl-C
  dayz-relay status chernarus       one in detail, with what is wrong and how to fix it
  dayz-relay status --json | jq -r '.[] | select(.up | not) | .slug'
exit codes: 0 every server that is served is up, 1 one is not""",
    "doctor": """\
  dayz-relay doctor                 only looks, and changes nothing
  dayz-relay doctor --identify chernarus
  dayz-relay doctor --alerts        sends a test message
exit codes: 0 nothing is wrong, 1 something is, 2 the settings are wrong""",
    "tail": """\
  dayz-relay tail                   everything, from all servers
  dayz-relay tail chernarus livonia --type chat-message --type sendMessage
  dayz-relay tail --json | jq 'select(.fate != "delivered")'""",
    "say": """\
  dayz-relay say chernarus The server restarts in five minutes.
exit codes: 0 the game server has said it, 1 it has not, or nobody can know""",
    "players": """\
  dayz-relay players
  dayz-relay players chernarus --json""",
    "dlq": """\
  dayz-relay dlq list               the number for each server
  dayz-relay dlq list chernarus
  dayz-relay dlq show chernarus 1795243200000-0
  dayz-relay dlq retry chernarus --all
exit codes: 0 it was done (retried events are on their way to Takaro), 1 it was not""",
    "completion": """\
  eval "$(dayz-relay completion bash)"      in ~/.bashrc
  eval "$(dayz-relay completion zsh)"       in ~/.zshrc, after compinit""",
}


def add_looking(add: Add) -> None:
    """Adds them all."""
    status = add("status", "Show all servers live, or one in detail.")
    status.add_argument("slug", nargs="?", help="one server, in detail")
    status.add_argument("--once", action="store_true", help="print it once, on a terminal too")
    doctor = add("doctor", "Look for what is wrong, from the settings to Takaro, and say how to fix it.")
    doctor.add_argument(
        "--identify",
        metavar="SLUG",
        help="also log in to Takaro as this server, unless the relay is logged in as it now",
    )
    doctor.add_argument(
        "--alerts", action="store_true", help="send a test message to each address of [alerts]"
    )
    tail = add(
        "tail", "Show events as they wait and pass, and commands as they end, from the last 50 of each on."
    )
    tail.add_argument("slugs", nargs="*", metavar="slug", help="some servers; without it all")
    tail.add_argument(
        "--type",
        action="append",
        choices=PASSING_TYPES,
        metavar="TYPE",
        help=f"only these; may be given several times: {', '.join(PASSING_TYPES)}",
    )
    say = add("say", "Send a message to everybody on a server, and wait until it is shown.")
    say.add_argument("slug", help="the server")
    say.add_argument("text", nargs="+", help="the message")
    players = add("players", "Show who is online, as far as the relay knows.")
    players.add_argument("slug", nargs="?", help="one server; without it all")
    for one in (status, doctor, tail, players):
        one.add_argument("--json", action="store_true", help="as JSON")
    for one in (status, doctor, tail, players, say):
        add_place(one)
    _add_dlq(add("dlq", "Events that Takaro would refuse, or has refused: list, show, retry, drop."))
    completion = add("completion", "Print what a shell needs to complete these commands.")
    completion.add_argument(
        "shell", choices=("bash", "zsh", "slugs"), help="your shell; slugs prints the servers, for the shells"
    )
    add_place(completion)


def examples(name: str) -> str | None:
    """The examples below the help of a command."""
    return _EXAMPLES.get(name)


def _add_dlq(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, dest="action", metavar="action")
    for name, about in (
        ("list", "Show the newest."),
        ("show", "Show one in full, as the mod sent it."),
        ("retry", "Try to deliver one again, or all, repaired as they would be today."),
        ("drop", "Delete one, or all."),
    ):
        one = actions.add_parser(name, help=about, description=about)
        if name == "list":
            one.add_argument("slug", nargs="?", help="one server; without it the number for each")
            one.add_argument("--count", type=_count, default=20, metavar="N", help="how many; without it 20")
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
            one.add_argument(
                "--yes",
                action="store_true",
                help="do not ask before all are deleted; needed without a terminal",
            )
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
