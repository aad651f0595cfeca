"""`dayz-relay sim …`: runs one simulated peer, which prints a line for each event, request and answer."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from services.sim.dayz.generations import Generation
from services.sim.dayz.life import live
from services.sim.dayz.server import DayzServer, SimModConfig
from services.sim.takaro.activity import keep_asking
from services.sim.takaro.server import TakaroSim

MAX_LINE = 200
SYNC_S = 30.0
"""How often the real Takaro asks for all that it shows of players."""


def print_line(text: str) -> None:
    """Print one line with the time of day, at most MAX_LINE characters, unprintable ones as spaces."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    if len(shown) > MAX_LINE:
        shown = shown[:MAX_LINE] + "…"
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {shown}\n")
    sys.stdout.flush()


async def run_mod(
    *,
    url: str,
    generation: str = "scanner",
    rate: float = 1.0,
    players: int = 20,
    registration_token: str,
    on_line: Callable[[str], object] = print_line,
) -> None:
    """Until cancelled: a DayZ server whose mod calls `url`, with about `rate` events a second."""
    server = DayzServer(SimModConfig(url, registration_token), Generation(generation), on_line)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        # Servers with different tokens have different lives.
        group.create_task(live(server, rate=rate, players=players, seed=registration_token))


async def run_takaro(
    *,
    registration_tokens: Iterable[str],
    host: str = "127.0.0.1",
    port: int = 0,
    on_line: Callable[[str], object] = print_line,
) -> None:
    """Until cancelled: a Takaro that keeps asking. Port 0 means any free port. The address is printed."""
    async with TakaroSim(
        registration_tokens=registration_tokens, host=host, port=port, sync_s=SYNC_S, on_line=on_line
    ) as takaro:
        on_line(f"listening at {takaro.url}")
        await keep_asking(takaro)
