"""`dayz-relay sim …`: runs one simulated peer, which prints a line for each event, request and answer."""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from services.sim.dayz.events import Channel
from services.sim.dayz.generations import Generation
from services.sim.dayz.server import DayzServer, SimModConfig
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from services.sim.takaro.server import TakaroSim

MAX_LINE = 200
SYNC_S = 30.0  # how often the real Takaro asks for all that it shows of players

_FOR_SERVER: tuple[Callable[[], tuple[str, Any]], ...] = (
    lambda: ("sendMessage", requests.send_message('Welcome, "survivors"!')),
    lambda: ("getPlayers", None),
    lambda: ("executeConsoleCommand", requests.console("say Restart in 10 minutes")),
    lambda: ("listBans", None),
    lambda: ("getMapInfo", None),
)
_FOR_PLAYER: tuple[Callable[[str], tuple[str, Any]], ...] = (
    lambda game_id: ("sendMessage", requests.send_message("Only for you", game_id)),
    lambda game_id: ("giveItem", requests.give_item(game_id, "Apple", 2, "pristine")),
    lambda game_id: ("getPlayerInventory", requests.get_player(game_id)),
    lambda game_id: ("teleportPlayer", requests.teleport(game_id, 6700.5, 20, 2500)),
    lambda game_id: ("kickPlayer", requests.kick(game_id, "Idle for too long")),
)
"""Requests as people at Takaro make them: messages, items, teleports, now and then a kick."""

_CHATTER = ("hello", "anyone at Cherno?", 'he said "run"', "path is C:\\dayz", "/help", "два слова 🧟", "brb")
_CHANNELS = (Channel.GLOBAL, Channel.DIRECT, Channel.LOCAL, Channel.RADIO, Channel.TEAM)
_WEAPONS = ("AKM", "M4-A1", "B950 'Blaze'", "(MeleeFist)")
_ENTITIES = ("ZmbM_usSoldier_normal_Base", "Animal_UrsusArctos", "Animal_BosTaurus")
_LOG_LINES = (
    "players: 11, loot: 23500, infected: 330",
    "Average server FPS: 239.30",
    "Loading C:\\dayz\\mpmissions",
)
_LIKELIHOOD = {"chat": 8, "fight": 6, "log": 4, "join": 3, "leave": 2, "die": 2}


def print_line(text: str) -> None:
    """Print one line with the time of day, at most MAX_LINE characters, unprintable ones as spaces."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    if len(shown) > MAX_LINE:
        shown = shown[:MAX_LINE] + "…"
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {shown}\n")
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


async def live(game: DayzServer, *, rate: float, players: int, seed: int | str) -> None:
    """Until cancelled: players join, chat, fight, die and leave, about `rate` events a second, at most
    `players` online. The same seed gives the same events."""
    chance = random.Random(seed)
    while True:
        happen(game, chance, players)
        await asyncio.sleep(chance.expovariate(rate))


def happen(game: DayzServer, chance: random.Random, players: int) -> None:
    """One event, chosen by `chance` among those that are possible now."""
    online = list(game.world.players)
    kind = chance.choices(list(_LIKELIHOOD), list(_LIKELIHOOD.values()))[0]
    if kind == "log":
        game.log(chance.choice(_LOG_LINES))
    elif not online or (kind == "join" and len(online) < players):
        everybody = map(make_player, range(1, players + 1))
        game.join(chance.choice([player for player in everybody if player.game_id not in game.world.players]))
    else:
        _act(game, chance, kind, chance.choice(online))


def _act(game: DayzServer, chance: random.Random, kind: str, game_id: str) -> None:
    player = game.world.players[game_id]
    x, y, z = player.position
    player.position = (x + chance.uniform(-50, 50), y, z + chance.uniform(-50, 50))
    if kind == "leave":
        game.leave(game_id)
    elif kind == "die":
        killers = [other for other in game.world.players if other != game_id]
        game.die(game_id, chance.choice(["", *killers]), chance.choice(_WEAPONS))
    elif kind == "fight":
        game.kill_entity(game_id, chance.choice(_ENTITIES), chance.choice(_WEAPONS))
    else:
        game.chat(game_id, chance.choice(_CHATTER), chance.choice(_CHANNELS))


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


async def keep_asking(takaro: TakaroSim, *, every_s: float = 3.0, seed: int = 0) -> None:
    """Until cancelled: a request every `every_s`, in turn for a whole server and for one player."""
    chance = random.Random(seed)
    turn = 0
    while True:
        await asyncio.sleep(every_s)
        connected = [server for token, server in takaro.servers.items() if takaro.is_connected(token)]
        if not connected:
            continue
        server = chance.choice(connected)
        if turn % 2 and server.online:
            action, args = _FOR_PLAYER[turn // 2 % len(_FOR_PLAYER)](chance.choice(list(server.online)))
        else:
            action, args = _FOR_SERVER[turn // 2 % len(_FOR_SERVER)]()
        turn += 1
        await takaro.request(server.identity_token, action, args)
