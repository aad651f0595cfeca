"""docs/commands.md: every command with its options, from the command line itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from services.cli.at_relay import LOCATING
from services.cli.main import app

PAGE = Path(__file__).parent / "commands.md"

SAID_ONCE = frozenset({"--config", "--data", "--help"})
"""Options that many commands have. The page explains them once, as those of LOCATING."""

HEAD = """\
# Commands

`make docs` writes this page from the code. `make` installs the command as `.venv/bin/dayz-relay`; for
other installations see [How to type the commands](#how-to-type-the-commands). `--help`
explains each command, most of them with examples.

## How to type the commands

The pages call the program `dayz-relay`. What you type depends on how you installed it:

| installed with | what to type for `dayz-relay status` |
|---|---|
| `make` | `.venv/bin/dayz-relay status` |
| [Windows](windows.md#natively) | `.venv\\Scripts\\dayz-relay status` |
| Compose | `docker compose run --rm cli status` |
| systemd | `sudo -u dayz-relay /opt/dayz-relay/bin/dayz-relay status \
--config /etc/dayz-relay/relay.toml --data /var/lib/dayz-relay` |
| Kubernetes | `kubectl -n dayz-relay exec deploy/dayz-relay-modapi -- dayz-relay status` |

## Where the relay is

`status`, `fleet`, `tail`, `players`, `say`, `dlq`, `instance` and `api-token` ask the
[admin API](api.md) of a relay. Without more they find the relay on this machine by its settings, in the
working folder, and use `admin_token` of `[modapi]`, or the token that `dayz-relay up` keeps in its data
folder:

| option | variable | default |
|---|---|---|
| `--config FILE` | `DAYZ_RELAY_CONFIG` | `relay.toml` |
| `--data DIR`, the folder of `up` | `DAYZ_RELAY_DATA` | `data` |
| `--url URL`, the admin port of a relay, here or elsewhere | `DAYZ_RELAY_URL` | from the settings |
| `--token-file FILE`, its token; `-` is standard input | `DAYZ_RELAY_TOKEN_FILE` | |
| `--token TOKEN`, the same; others on this machine can see it | `DAYZ_RELAY_TOKEN` | |
| `--context NAME`, a relay that `context add` has named | `DAYZ_RELAY_CONTEXT` | that of `context use` |

What is typed counts more than a variable, and a variable more than `context use`. The log agent has a
`DAYZ_RELAY_URL` of its own, with `/k/` and a mod key in it: these commands ignore that one. Set the variables
to avoid typing the options each time:

```bash
export DAYZ_RELAY_CONFIG=$PWD/relay.toml DAYZ_RELAY_DATA=$PWD/data
```

The admin port speaks plain HTTP: reach it through a private network, an SSH tunnel or a TLS proxy. A relay
elsewhere gets a name. The file with the names and tokens, `~/.config/dayz-relay/context.toml`, can be read by
you alone:

```bash
echo "<admin token>" | dayz-relay context add home --url http://127.0.0.1:9088 --token-file -
dayz-relay status --once --context home
dayz-relay context use home
dayz-relay fleet
dayz-relay context use local
```

All other commands but `agent`, `token`, `demo`, `sim` and `context` need the settings of the relay on this
machine. With a relay that does not run, `doctor` looks for what is wrong.
"""

NOTES = {
    "To run it": """\
`agent` is explained in [Log lines](log-lines.md). `dayz-relay --install-completion` lets your
shell (bash, zsh, fish, PowerShell) complete these commands, with servers and files; it finds the servers
through the variables above.

```bash
dayz-relay check
dayz-relay token new --kind identity
eval "$(dayz-relay completion bash)"
```
""",
    "To look at it": """\
Colours are written only to terminals, and none with `NO_COLOR`. Through a pipe no line is wrapped. A name of
more than 28 columns and a detail of more than 70 are cut, but not with `--json`. Times are local, in JSON
they are UTC.

```bash
dayz-relay status --once
dayz-relay status main
dayz-relay fleet
dayz-relay doctor
dayz-relay players main --json
dayz-relay say main The server restarts in five minutes.
dayz-relay dlq list main
```
`--json` prints what the admin API answers. `status` at a terminal and `tail` run until Ctrl-C, or until
their terminal is closed.

An event has a line in `tail` as soon as Takaro has it, or when it was accepted and Takaro does not take
it within two seconds (at once, if the server has no link to Takaro): `waiting for Takaro`. When that one
is delivered it has a second line, which says `shown above as waiting`. In JSON, `state` is `waiting`,
then `delivered`, with those words as its `detail`.

<!-- until Ctrl-C -->
```bash
dayz-relay tail main --type chat-message --type sendMessage
```
""",
    "Servers": """\
[Servers that come and go](fleet.md#servers-that-come-and-go) says what they are for,
[migrate.md](migrate.md) how to move from an old bridge.

```bash
dayz-relay instance list
dayz-relay instance show main
dayz-relay instance config main
```
""",
    "The admin API": """\
A token that may only read is enough to look:

```bash
dayz-relay api-token add dashboard --role read
dayz-relay api-token list
dayz-relay api-token remove dashboard
dayz-relay context list
```
""",
    "To try it": """\
<!-- until Ctrl-C -->
```bash
dayz-relay demo
```
""",
    "Help": """\
```bash
dayz-relay help dlq show
dayz-relay -V
```
""",
}

END = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | a clean end |
| 1 | `status`: a server is down. `doctor`: something is wrong. `say`: it was not said. Any other failure |
| 2 | a wrong setting or a wrong command line; the line names it |
"""


def page() -> str:
    """The whole page."""
    root: Any = get_command(app)
    subjects: dict[str, list[str]] = {}
    for name, command in root.commands.items():
        subjects.setdefault(command.rich_help_panel, []).extend(_rows(name, command))
    parts = [HEAD]
    for subject, rows in subjects.items():
        table = ["| command | what it does | options |", "|---|---|---|", *rows]
        parts.append("\n".join([f"## {subject}", "", *table, "", NOTES[subject]]))
    return "\n".join([*parts, END])


def _rows(path: str, command: Any) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from _rows(f"{path} {name}", below)
        return
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    options = [one for one in command.params if isinstance(one, TyperOption)]
    values = [_value(one) if one.required else f"[{_value(one)}]" for one in arguments]
    values += [f"{one.opts[0]} {_value(one)}" for one in options if one.required]
    about = " ".join((command.help or "").split())
    said = SAID_ONCE | LOCATING if any("--context" in one.opts for one in options) else SAID_ONCE
    told = [_option(one) for one in options if not one.hidden and not said & {*one.opts}]
    yield f"| `dayz-relay {' '.join([path, *values])}` | {about} | {'<br>'.join(told)} |"


def _value(parameter: TyperArgument | TyperOption) -> str:
    several = "..." if isinstance(parameter, TyperArgument) and parameter.nargs < 0 else ""
    return (parameter.metavar or parameter.name.upper()) + several


def _option(option: TyperOption) -> str:
    choices = option.type_descriptor.choices
    value = "" if option.is_flag else f" {_value(option)}"
    told = [option.help or ""]
    if choices:
        told.append(f"One of {', '.join(f'`{one}`' for one in choices)}.")
    if not option.is_flag and option.default is not None:
        told.append(f"Without it `{option.default}`.")
    return f"`{option.opts[0]}{value}`: {' '.join(told)}"
