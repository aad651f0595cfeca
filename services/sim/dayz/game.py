"""The game side of the mod: it writes what happens as its generation does, and queues it for a flush."""

import time
from collections import deque
from collections.abc import Callable

from services.sim.dayz.events import Channel, GameIncident, write_event
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Player, World

QUEUE_EVENTS = 2000
WORLD_SPEED = 12  # in-game time runs 12 times as fast
TIMELESS_EVERY = 7  # every 7th event has no world time


class Game:
    """The world, and the queue of its events. A full queue drops new events."""

    def __init__(self, generation: Generation, on_line: Callable[[str], object] | None = None) -> None:
        self.generation = generation
        self.world = World()
        self.world.kicked = self.leave
        self.dropped = 0  # events for which the queue was full
        self._queue: deque[bytes] = deque()
        self._written = 0
        self._on_line = on_line

    def join(self, player: Player) -> None:
        self.world.players[player.game_id] = player
        self._emit(GameIncident("player-connected", player))

    def leave(self, game_id: str) -> None:
        player = self.world.players.pop(game_id)
        self._emit(GameIncident("player-disconnected", player))

    def chat(self, game_id: str, text: str, channel: Channel = Channel.GLOBAL) -> None:
        player = self.world.players[game_id]
        self._emit(GameIncident("chat-message", player, text=text, channel=channel))

    def die(self, game_id: str, killer: str = "", weapon: str = "") -> None:
        """`killer` is a gameId, or "" if an animal, a fall or hunger killed the player."""
        players = self.world.players
        attacker = players[killer] if killer else None
        self._emit(GameIncident("player-death", players[game_id], attacker, weapon=weapon))

    def kill_entity(self, game_id: str, entity: str, weapon: str = "") -> None:
        self._emit(GameIncident("entity-killed", self.world.players[game_id], weapon=weapon, entity=entity))

    def log(self, text: str) -> None:
        self._emit(GameIncident("log", text=text))

    def emit_raw(self, event: bytes) -> None:
        """Queue `event` as it is. It need not be JSON."""
        if len(self._queue) >= QUEUE_EVENTS:
            self.dropped += 1
        else:
            self._queue.append(event)
        self._happened("queued")

    def _emit(self, incident: GameIncident) -> None:
        self._written += 1
        self.emit_raw(write_event(self.generation, incident, self._world_time()))
        if self._on_line:
            self._line(f"{incident.type} {incident.player.name if incident.player else incident.text!r}")

    def _world_time(self) -> str:
        if self._written % TIMELESS_EVERY == 0:
            return ""
        minutes = int(time.monotonic() * WORLD_SPEED / 60)
        return f"2018-07-{1 + minutes // 1440 % 28:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"

    def _happened(self, what: str) -> None:
        """For tests, which count and wait."""

    def _line(self, text: str) -> None:
        if self._on_line:
            self._on_line(text)
