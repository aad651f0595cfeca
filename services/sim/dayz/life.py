"""Players join, chat, fight, die and leave. The same seed gives the same events."""

import asyncio
import random

from services.sim.dayz.events import Channel
from services.sim.dayz.server import DayzServer
from services.sim.dayz.world import make_player

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


async def live(game: DayzServer, *, rate: float, players: int, seed: int | str) -> None:
    """Until cancelled: about `rate` events a second, at most `players` players online."""
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
