"""Where a command finds its relay: by options, or by variables that spare typing them."""

import argparse
import os
from pathlib import Path

CONFIG, DATA = "DAYZ_RELAY_CONFIG", "DAYZ_RELAY_DATA"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds `--config`."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get(CONFIG) or "relay.toml"),
        metavar="FILE",
        help=f"the settings; without it what {CONFIG} names, else relay.toml",
    )


def add_data(parser: argparse.ArgumentParser, what: str = "the store of the running `up`") -> None:
    """Adds `--data`."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get(DATA) or "data"),
        metavar="DIR",
        help=f"{what}; without it what {DATA} names, else data",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Adds both, for a command that works on a relay."""
    add_config(parser)
    add_data(parser)
