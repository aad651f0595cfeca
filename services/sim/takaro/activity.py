"""Requests as people at Takaro make them: messages, items, teleports, now and then a kick."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from services.sim.takaro import requests
from services.sim.takaro.server import TakaroSim

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
