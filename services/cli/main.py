"""The `dayz-relay` command: its words, and the exit codes they end with.

0 is a clean end, 2 a wrong setting (one line on standard error for each), 1 anything else.
"""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from services.relay.errors import ConfigError, RelayError, StoreRefused
from services.relay.settings import Loaded, Settings, load
from services.relay.settings_sources import environment_configures


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except (ConfigError, StoreRefused) as error:
        print(*(f"dayz-relay: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return 2
    except RelayError as error:
        print(f"dayz-relay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dayz-relay", description="The relay between DayZ servers and Takaro."
    )
    parser.add_argument("--version", action="version", version=f"dayz-relay {version('dayz-relay')}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=command, name=name)
        return added

    up = add("up", _up, "Run the whole relay, with a store of its own unless redis.url is set.")
    for one in (
        up,
        add("modapi", _service, "Run only the service that the mods call."),
        add("uplink", _service, "Run only the service that speaks to Takaro."),
        add("check", _check, "Show the settings in effect, secrets masked, or what is wrong with them."),
    ):
        one.add_argument("--config", type=Path, default=Path("relay.toml"), metavar="FILE")
    up.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="where its store keeps data"
    )
    demo = add("demo", _demo, "Show the relay at work between simulated DayZ servers and a simulated Takaro.")
    demo.add_argument("--seconds", type=float, metavar="N", help="end after N seconds")
    sim = add("sim", _sim, "Run one simulated peer by itself.").add_subparsers(
        required=True, dest="peer", metavar="peer"
    )
    mod = sim.add_parser("mod", help="a DayZ server with the mod")
    mod.add_argument("--url", required=True, help="what the mod has in its TakaroApiUrl")
    mod.add_argument("--generation", choices=("flat", "mixed", "scanner"), default="scanner")
    mod.add_argument("--rate", type=float, default=1.0, help="events per second")
    mod.add_argument("--players", type=int, default=20)
    mod.add_argument("--registration-token", default="simulated")
    takaro = sim.add_parser("takaro", help="a Takaro that game servers connect to")
    takaro.add_argument("--port", type=int, default=0)
    takaro.add_argument("--registration-token", required=True, help="the one that it accepts")
    return parser


def _up(args: argparse.Namespace) -> int:
    from services.cli import up

    return up.run(args.config, args.data, os.environ)


def _service(args: argparse.Namespace) -> int:
    loaded = _load(args.config)
    for warning in loaded.warnings:
        print(f"dayz-relay: warning: {warning}", file=sys.stderr)
    # Each process imports the one service that it runs.
    serve: Callable[[Settings], None] = importlib.import_module(f"services.{args.name}.main").run
    serve(loaded.settings)
    return 0


def _check(args: argparse.Namespace) -> int:
    from services.cli import check

    check.run(_load(args.config))
    return 0


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
        peer = sim.run_takaro(registration_tokens={args.registration_token}, port=args.port)
    with suppress(KeyboardInterrupt):  # how it ends
        asyncio.run(peer)
    return 0


def _load(config: Path) -> Loaded:
    """The settings; no relay.toml is needed where the environment describes an instance."""
    return load(config if config.exists() or not environment_configures(os.environ) else None, os.environ)
