"""`dayz-relay sim …`: one simulated peer by itself, printing a line for whatever happens."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from services.sim.dayz.generations import Generation
from services.sim.dayz.life import live
from services.sim.dayz.server import DayzServer
from services.sim.takaro.activity import keep_asking
from services.sim.takaro.server import TakaroSim

MAX_LINE = 200


def print_line(text: str) -> None:
    """One line with the time of day, shortened; what players write cannot break it."""
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
    registration_token: str = "",
    identity_token: str = "",
    game_server_id: str = "",
    seed: int = 0,
    on_line: Callable[[str], object] = print_line,
) -> None:
    """Until cancelled: a DayZ server whose mod talks to `url`, with about `rate` events a second."""
    server = DayzServer(
        url,
        generation=Generation(generation),
        registration_token=registration_token,
        identity_token=identity_token,
        game_server_id=game_server_id,
        on_line=on_line,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        group.create_task(live(server, rate=rate, players=players, seed=seed))


async def run_takaro(
    *,
    registration_tokens: Iterable[str],
    host: str = "127.0.0.1",
    port: int = 0,
    ask_every_s: float = 3.0,
    sync_s: float | None = 30.0,
    on_line: Callable[[str], object] = print_line,
) -> None:
    """Until cancelled: a Takaro at `host:port` (0: any free port, which is printed) that keeps asking."""
    async with TakaroSim(
        registration_tokens=registration_tokens, host=host, port=port, sync_s=sync_s, on_line=on_line
    ) as takaro:
        on_line(f"listening at {takaro.url}")
        await keep_asking(takaro, every_s=ask_every_s)
