"""The `dayz-relay` command: its words, and the exit codes they end with.

0 is a clean end, 2 a wrong setting (one line on standard error for each), 1 anything else.
"""

import argparse
import asyncio
import importlib
import logging
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from services.cli import looking
from services.cli.places import add_config, add_data, add_place
from services.cli.terminal import complain
from services.relay.protocol.errors import ConfigError, RelayError, StoreRefused
from services.relay.service import logs
from services.relay.service.redaction import secrets_in
from services.relay.service.settings import Loaded, Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_warnings import cautions
from services.relay.service.text_files import is_there

TOKENS = {
    "mod-key": 'mod_keys of an [[instance]]; its mod has "…/k/<this>" in TakaroApiUrl',
    "identity": "identity_token of an [[instance]] that Takaro has not seen yet, or it sees a second server",
    "admin": "admin_token of [modapi]; panels send it as `Authorization: Bearer <this>`",
}
"""What a secret is made for, and where it is put."""

_EXAMPLES = {
    "up": """\
  dayz-relay up                     settings from relay.toml, data in the folder data
  dayz-relay up --config /etc/dayz-relay/relay.toml --data /var/lib/dayz-relay""",
    "check": """\
  dayz-relay check
  dayz-relay check --config /etc/dayz-relay/relay.toml""",
    "import": """\
  dayz-relay import TakaroConfig.txt
  dayz-relay import takaro_config.txt       the file of the DLL""",
    "agent": """\
  DAYZ_RELAY_URL=http://127.0.0.1:8088/k/<mod key> dayz-relay agent --logs profiles
variables:
  DAYZ_RELAY_URL        what the mod has as TakaroApiUrl; or DAYZ_RELAY_URL_FILE, a file that holds it
  DAYZ_LOG_DENY         regular expressions, separated by commas: lines that are not sent
  DAYZ_LOG_MAX_PER_SEC  the most lines a second""",
    "instance": """\
  dayz-relay instance add livonia --name "Livonia"
  dayz-relay instance list
  dayz-relay instance rotate livonia --overlap-h 2""",
    "token": """\
  dayz-relay token new --kind identity""",
    "sim": """\
  dayz-relay sim takaro --registration-token any-word
  dayz-relay sim mod --url http://127.0.0.1:8088/k/<mod key> --generation flat""",
}

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    sys.excepthook = logs.uncaught
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except (ConfigError, StoreRefused) as error:
        for line in str(error).splitlines():
            complain(line)
        return 2
    except RelayError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        if not _has_enough(error):
            raise
        # What is still to be written when Python ends would fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _has_enough(error: Exception) -> bool:
    """`| head` reads no further. A task group tells it in a group of its own."""
    if isinstance(error, ExceptionGroup):
        return error.split(BrokenPipeError)[1] is None
    return isinstance(error, BrokenPipeError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dayz-relay", description="The relay between DayZ servers and Takaro."
    )
    parser.add_argument("--version", action="version", version=f"dayz-relay {version('dayz-relay')}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        if examples := looking.examples(name) or _EXAMPLES.get(name):
            added.epilog = f"examples:\n{examples}"
            added.formatter_class = argparse.RawDescriptionHelpFormatter
        added.set_defaults(command=command, name=name)
        return added

    up = add("up", _up, "Run the whole relay, with its own store unless redis.url is set.")
    services = (
        add("modapi", _service, "Run only the service that the mods call."),
        add("uplink", _service, "Run only the service that talks to Takaro."),
    )
    check = add("check", _check, "Show the settings in effect, secrets masked, or what is wrong with them.")
    for one in (up, *services, check):
        add_config(one)
    for one in services:
        # `up` has warned already, for all that it starts.
        one.add_argument("--warned", action="store_true", help=argparse.SUPPRESS)
    add_data(up, "where its store keeps its data")
    take_over = add(
        "import", _import, "Take over the server of an old bridge; for Takaro it stays the same one."
    )
    take_over.add_argument(
        "source",
        type=Path,
        nargs="?",
        metavar="TakaroConfig.txt",
        help="the old bridge's file; without it the one that BRIDGE_CONFIG names, or only the environment",
    )
    add_config(take_over)
    agent = add("agent", _agent, "Send the log lines of the DayZ server on this machine to the relay.")
    agent.add_argument(
        "--logs", type=Path, metavar="DIR", help="the folder of the logs; without it what DAYZ_LOG_DIR names"
    )
    agent.add_argument(
        "--state",
        type=Path,
        default=Path("agent.json"),
        metavar="FILE",
        help="the file that remembers what was sent",
    )
    _add_instance(add("instance", _instance, "Add, show, change and remove servers while the relay runs."))
    special = {"doctor": _doctor, "completion": _completion}
    looking.add_looking(lambda name, about: add(name, special.get(name, _look), about))
    token = add("token", _token, "Create a secret that nobody can guess.").add_subparsers(
        required=True, metavar="action"
    )
    new = token.add_parser("new", help="print a new one, and say where it goes")
    new.add_argument("--kind", choices=tuple(TOKENS), default="mod-key", help="what it is for")
    demo = add("demo", _demo, "Show the relay at work between simulated DayZ servers and a simulated Takaro.")
    demo.add_argument("--seconds", type=float, metavar="N", help="end after N seconds")
    sim = add("sim", _sim, "Run a simulated mod or a simulated Takaro.").add_subparsers(
        required=True, dest="peer", metavar="peer"
    )
    mod = sim.add_parser("mod", help="a DayZ server with the mod")
    mod.add_argument("--url", required=True, help="what the mod has in its TakaroApiUrl")
    mod.add_argument(
        "--generation", choices=("flat", "mixed", "scanner"), default="scanner", help="of the mod"
    )
    mod.add_argument("--rate", type=float, default=1.0, help="events per second")
    mod.add_argument("--players", type=int, default=20, help="most players online")
    mod.add_argument("--registration-token", default="simulated", help="the token in its config at first")
    takaro = sim.add_parser("takaro", help="a Takaro that game servers connect to")
    takaro.add_argument("--host", default="127.0.0.1", help="where it listens")
    takaro.add_argument("--port", type=int, default=0, help="without it, or with 0: any free one")
    takaro.add_argument("--registration-token", required=True, help="the one that it accepts")
    return parser


def _add_instance(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, dest="action", metavar="action")
    added = {
        name: actions.add_parser(name, help=about, description=about)
        for name, about in (
            ("add", "Add a server; prints what its mod needs. The key is shown only this once."),
            ("list", "Show all servers, those of relay.toml too."),
            ("rotate", "Give a server a new mod key."),
            ("disable", "Stop serving a server; its events are kept."),
            ("enable", "Serve it again."),
            ("remove", "Remove a server; its data is deleted a day later."),
        )
    }
    for name, one in added.items():
        add_place(one)
        if name != "list":
            one.add_argument("slug", help="names the server in the store, logs and metrics")
        if name in ("add", "list", "rotate"):
            one.add_argument("--json", action="store_true", help="as JSON")
    added["add"].add_argument("--name", required=True, help="3 to 50 characters, for Takaro")
    for option in ("--identity-token-file", "--registration-token-file"):
        added["add"].add_argument(option, metavar="FILE", help="read it from this file; - is standard input")
    added["rotate"].add_argument(
        "--overlap-h", type=_hours, default=24.0, metavar="H", help="how many hours the old key stays valid"
    )
    added["rotate"].add_argument(
        "--force", action="store_true", help="also while the key of an earlier rotation opens: it ends now"
    )
    added["remove"].add_argument("--purge", action="store_true", help="delete its data now; asks first")
    added["remove"].add_argument(
        "--yes", action="store_true", help="do not ask before its data is deleted; needed without a terminal"
    )


def _hours(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 2160:
        raise argparse.ArgumentTypeError("must be from 0 to 2160 hours")
    return number


def _up(args: argparse.Namespace) -> int:
    from services.cli import up

    return up.run(args.config, args.data, os.environ)


def _service(args: argparse.Namespace) -> int:
    loaded = _load(args.config)
    logs.configure(args.name, loaded.settings)
    for warning in () if args.warned else _warnings(args.config, loaded):
        logger.warning("%s", warning)
    # Each process imports the one service that it runs.
    serve: Callable[[Settings, Path | None], None] = importlib.import_module(f"services.{args.name}.main").run
    serve(loaded.settings, _file(args.config))
    return 0


def _check(args: argparse.Namespace) -> int:
    from services.cli import check

    loaded = _load(args.config)
    check.run(loaded.settings, _warnings(args.config, loaded))
    return 0


def _token(args: argparse.Namespace) -> int:
    print(secrets.token_urlsafe(32))
    print(f"It goes into relay.toml: {TOKENS[args.kind]}.", file=sys.stderr)
    return 0


def _import(args: argparse.Namespace) -> int:
    from services.cli import take_over

    return take_over.run(args.source, args.config, os.environ)


def _agent(args: argparse.Namespace) -> int:
    from services.agent import main as agent
    from services.agent import settings

    agent.run(settings.read(args.logs, args.state, os.environ))
    return 0


def _instance(args: argparse.Namespace) -> int:
    from services.cli import instances

    return instances.run(args, _load(args.config).settings)


def _look(args: argparse.Namespace) -> int:
    look: Callable[[argparse.Namespace, Settings], int]
    look = importlib.import_module(f"services.cli.{args.name}").run
    return look(args, _load(args.config).settings)


def _doctor(args: argparse.Namespace) -> int:
    from services.cli import doctor

    loaded = _load(args.config)
    return doctor.run(args, loaded, _warnings(args.config, loaded))


def _completion(args: argparse.Namespace) -> int:
    from services.cli import completion

    if args.shell == "slugs":
        return completion.slugs(_load(args.config).settings, args.data)
    return completion.run(args.shell, _parser())


def _demo(args: argparse.Namespace) -> int:
    from services.cli import demo

    return demo.run(args.seconds, os.environ)


def _sim(args: argparse.Namespace) -> int:
    from services.sim import main as sim

    if args.peer == "mod":
        peer = sim.run_mod(
            url=args.url,
            generation=args.generation,
            rate=args.rate,
            players=args.players,
            registration_token=args.registration_token,
        )
    else:
        peer = sim.run_takaro(registration_tokens={args.registration_token}, host=args.host, port=args.port)
    try:
        with suppress(KeyboardInterrupt):  # how it ends
            asyncio.run(peer)
    except OSError as error:
        raise ConfigError(f"{args.peer} cannot listen or call there: {error.strerror or error}") from error
    return 0


def _load(config: Path) -> Loaded:
    loaded = load(_file(config), os.environ)
    logs.hide("settings", secrets_in(loaded.settings))
    return loaded


def _warnings(config: Path, loaded: Loaded) -> list[str]:
    return [*loaded.warnings, *cautions(_file(config), os.environ, loaded.settings)]


def _file(config: Path) -> Path | None:
    """No relay.toml is needed where the environment has an instance, or names the store that has some."""
    names = ("RELAY_REDIS__URL", "RELAY_REDIS__URL_FILE")
    enough = environment_configures(os.environ) or any(os.environ.get(name) for name in names)
    return config if is_there(config) or not enough else None
