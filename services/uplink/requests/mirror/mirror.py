"""What is known of one instance's game: players, positions, inventories, lists. Pure: times are arguments.

Events and results change it in the order in which uplink handles them. It holds answers in the form in which
they are sent: encoded JSON. Times are seconds on the wall clock, so that ages outlive a restart.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import Action, EventType
from services.uplink.requests.mirror.read_rules import (
    CATALOGUES,
    EVENT_WAITS_S,
    MADE_UP_POSITION,
    READ_RULES,
    AnswerAge,
    age_of,
)
from services.uplink.takaro.frames import kept_json

LATER_S = 10.0
"""The mod may have made its answer this long before it came. Older events are part of the answer."""


class Subject(NamedTuple):
    """What a read is about: one player or, with an empty `game_id`, the game itself."""

    action: Action
    game_id: str = ""


class Reading(NamedTuple):
    """An answer and its age. `payload` is None if it is unknown, and for a catalogue: that is in Redis."""

    age: AnswerAge
    payload: bytes | None = None


class Kept(NamedTuple):
    """An answer, and when it was true."""

    at_s: float
    payload: bytes


class MirrorChanges(NamedTuple):
    """Fields of the two hashes in Redis and their new values. An empty value deletes the field."""

    mirror: dict[str, bytes]
    catalogues: dict[str, bytes]


NOTHING = Reading(AnswerAge.UNKNOWN)

_ONLINE = "online"
_PLAYERS = "players"  # number of players online, for readers that need no more (relay/instances/facts.py)
_EVENT = "event"  # when an event was sent of a player whose position is unknown
_MADE_UP = "made_up"  # when a position was last made up, and how many were
_FORGOTTEN = b""


class Mirror:
    """The game of one instance as uplink knows it.

    `beyond` is called with the name of each limit that is exceeded. The positions and inventories that were
    not renewed for longest are forgotten first.
    """

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, beyond: Callable[[str], object] = lambda limit: None
    ) -> None:
        self._limits = limits
        self._beyond = beyond
        self._online: dict[str, Kept] = {}  # gameId -> player
        self._listed_s: float | None = None  # when the mod last said who is online
        self._counted_s = 0.0  # the same, or when the game started without players
        self._catalogues: dict[Action, float] = {}
        self._positions: OrderedDict[str, Kept] = OrderedDict()
        self._inventories: OrderedDict[str, Kept] = OrderedDict()
        self._sent: OrderedDict[str, Kept] = OrderedDict()  # events of players whose position is unknown
        self._made_up = 0
        self._changed = MirrorChanges({}, {})

    # Answers from what is known

    def read(self, subject: Subject, now_s: float) -> Reading:
        """The answer to a read. The last one stays fresh for a player who is known not to be in the game."""
        action, game_id = subject
        match action:
            case Action.GET_PLAYERS:
                age = age_of(action, self._listed_s, now_s)
                return NOTHING if age is AnswerAge.UNKNOWN else Reading(age, self._players())
            case Action.GET_PLAYER:
                kept = self._online.get(game_id)
            case Action.GET_PLAYER_LOCATION:
                kept = self._positions.get(game_id)
            case Action.GET_PLAYER_INVENTORY:
                kept = self._inventories.get(game_id)
            case _:
                return Reading(age_of(action, self._catalogues.get(action), now_s))
        if kept is None:
            return NOTHING
        if (
            game_id not in self._online
            and age_of(Action.GET_PLAYERS, self._listed_s, now_s) is not AnswerAge.UNKNOWN
        ):  # the mod could not say more
            return Reading(AnswerAge.FRESH, kept.payload)
        age = age_of(action, kept.at_s, now_s)
        return NOTHING if age is AnswerAge.UNKNOWN else Reading(age, kept.payload)

    @property
    def online(self) -> int:
        """Number of players known to be in the game."""
        return len(self._online)

    @property
    def listed(self) -> tuple[float | None, bytes]:
        """When the list of players was last renewed (None: never), and the list as last known."""
        return self._listed_s, self._players()

    def position_of(self, game_id: str) -> dict[str, Any] | None:
        """The last known position of a player."""
        kept = self._positions.get(game_id)
        return orjson.loads(kept.payload) if kept else None

    def event_waits(self, game_id: str, now_s: float) -> bool:
        """Whether Takaro may need the position of this player to accept an event."""
        sent = self._sent.get(game_id)
        return sent is not None and now_s - sent.at_s <= EVENT_WAITS_S

    def make_up_position(self, now_s: float) -> bytes:
        """The position to answer when none is known and an event waits for it. Counts it."""
        self._made_up += 1
        self._changed.mirror[_MADE_UP] = _stored(Kept(now_s, b"%d" % self._made_up))
        return orjson.dumps(MADE_UP_POSITION)

    def oldest_s(self, action: Action) -> float | None:
        """When the oldest answer about a player who is online was renewed; None: nothing is known."""
        if action is Action.GET_PLAYERS:
            return self._listed_s
        kept = self._positions if action is Action.GET_PLAYER_LOCATION else self._inventories
        known = (kept[game_id].at_s for game_id in self._online if game_id in kept)
        return min((at_s for at_s in known if at_s), default=None)  # 0: a write has changed it (`take_write`)

    def _players(self) -> bytes:
        return b"[" + b",".join(kept.payload for kept in self._online.values()) + b"]"

    # Events, answers and writes that change it

    def take_event(self, event: GameEvent, at_s: float, now_s: float) -> str:
        """Takes in an event of `at_s` that is about to be sent to Takaro. Returns the gameId of a player who
        is now known to be in the game and was not before, else "".

        After an outage `at_s` may be hours ago. What the mod has answered since then is not changed.
        """
        data = event["data"]
        player = data.get("player")
        if not player:
            return ""
        game_id: str = player["gameId"]
        if game_id not in self._positions:
            self._keep(_EVENT, self._sent, game_id, Kept(now_s, b""))
        known_s = max(self._counted_s, self._online[game_id].at_s if game_id in self._online else 0.0)
        match event["type"]:
            case EventType.PLAYER_DEATH if data.get("position"):
                known = self._positions.get(game_id)
                if known is None or at_s > known.at_s - LATER_S:
                    self._keep_position(game_id, data["position"], at_s)
            case _ if at_s <= known_s - LATER_S:
                pass
            case EventType.PLAYER_CONNECTED | EventType.CHAT_MESSAGE:
                was_online = game_id in self._online
                self._set_online(game_id, player, at_s)
                return "" if was_online else game_id
            case EventType.PLAYER_DISCONNECTED:
                if self._online.pop(game_id, None):
                    self._mark_online()
        return ""

    def take_answer(self, subject: Subject, value: Any, now_s: float) -> None:
        """Takes in the mod's answer to a read: a value that Takaro accepts."""
        action, game_id = subject
        match action:
            case Action.GET_PLAYERS:
                if len(value) > self._limits.mirror_players:
                    self._beyond("mirror_players")
                    value = value[: self._limits.mirror_players]
                self._online = {p["gameId"]: Kept(now_s, kept_json(p)) for p in value}
                self._listed_s = self._counted_s = now_s
                self._mark_online()
            case Action.GET_PLAYER if game_id in self._online and value["gameId"] == game_id:
                self._set_online(game_id, value, now_s)
            case Action.GET_PLAYER_LOCATION:
                self._keep_position(game_id, value, now_s)
            case Action.GET_PLAYER_INVENTORY:
                payload = kept_json(value)
                if len(payload) <= self._limits.inventory_bytes:
                    self._keep(action, self._inventories, game_id, Kept(now_s, payload))
                else:
                    self._beyond("inventory_bytes")
            case _ if action in CATALOGUES:
                payload = kept_json(value)
                if len(payload) > self._limits.catalogue_bytes:
                    self._beyond("catalogue_bytes")
                    return
                self._catalogues[action] = now_s
                self._changed.mirror[action] = _stored(Kept(now_s, b""))
                self._changed.catalogues[action] = payload

    def take_write(self, action: Action, args: Mapping[str, Any], now_s: float) -> None:
        """Takes in a write that the mod has run: its result becomes known, or unknown."""
        game_id = args.get("gameId", "")
        match action:
            case Action.TELEPORT_PLAYER:
                self._keep_position(game_id, {axis: args[axis] for axis in "xyz"}, now_s)
            case Action.GIVE_ITEM if game_id in self._inventories:
                self._inventories[game_id] = self._inventories[game_id]._replace(at_s=0.0)
            case Action.BAN_PLAYER | Action.UNBAN_PLAYER:
                self._catalogues.pop(Action.LIST_BANS, None)
                self._changed.mirror[Action.LIST_BANS] = _FORGOTTEN

    def game_restarted(self, now_s: float) -> None:
        """The game server has started anew: nobody is known to be online until the mod answers."""
        self._online.clear()
        self._listed_s = None
        self._counted_s = now_s
        self._changed.mirror[_ONLINE] = _FORGOTTEN
        for action, at_s in self._catalogues.items():  # stale at least, though mostly still right
            self._catalogues[action] = min(at_s, now_s - READ_RULES[action].fresh_s - 1.0)

    def _set_online(self, game_id: str, player: Mapping[str, Any], now_s: float) -> None:
        known, now = self._online.get(game_id), Kept(now_s, kept_json(player))
        if known is None and len(self._online) >= self._limits.mirror_players:
            self._beyond("mirror_players")
            return
        self._online[game_id] = now
        if known is None or known.payload != now.payload:
            self._mark_online()

    def _keep_position(self, game_id: str, position: Mapping[str, Any], now_s: float) -> None:
        answer = Kept(now_s, kept_json(position))
        self._keep(Action.GET_PLAYER_LOCATION, self._positions, game_id, answer)
        if self._sent.pop(game_id, None):
            self._changed.mirror[f"{_EVENT}:{game_id}"] = _FORGOTTEN

    def _keep(self, part: str, kept: OrderedDict[str, Kept], game_id: str, answer: Kept) -> None:
        kept[game_id] = answer
        kept.move_to_end(game_id)
        self._changed.mirror[f"{part}:{game_id}"] = _stored(answer)
        if len(kept) > self._limits.mirror_players:
            self._beyond("mirror_players")
            oldest, _ = kept.popitem(last=False)
            self._changed.mirror[f"{part}:{oldest}"] = _FORGOTTEN

    def _mark_online(self) -> None:
        self._changed.mirror[_ONLINE] = _FORGOTTEN  # written whole by take_changes

    # Saving in Redis

    @property
    def players_changed(self) -> bool:
        """Whether who is online, or what is known of them, has changed since the last `take_changes`."""
        return _ONLINE in self._changed.mirror

    def take_changes(self) -> MirrorChanges:
        """What has changed since the last call."""
        changes, self._changed = self._changed, MirrorChanges({}, {})
        if _ONLINE in changes.mirror:
            changes.mirror[_PLAYERS] = _FORGOTTEN if self._listed_s is None else b"%d" % self.online
            if self._listed_s is not None:
                changes.mirror[_ONLINE] = _stored(Kept(self._listed_s, self._players()))
        return changes

    def put_back(self, changes: MirrorChanges) -> None:
        """Takes back changes that could not be saved. Changes made meanwhile are newer."""
        newer = self._changed
        self._changed = MirrorChanges(changes.mirror | newer.mirror, changes.catalogues | newer.catalogues)

    def restore(self, fields: Mapping[str, bytes], now_s: float) -> None:
        """Takes in what was saved, unless what is known is newer. Ignores what it cannot read.

        Of catalogues only the age is taken in: they are read from Redis when they are needed.
        """
        for name, stored in fields.items():
            at_s, _, payload = stored.partition(b" ")
            with contextlib.suppress(ValueError):
                self._restore(name, Kept(min(float(at_s), now_s), payload))

    def _restore(self, name: str, found: Kept) -> None:
        part, _, game_id = name.partition(":")
        match part:
            case Action.GET_PLAYER_LOCATION:
                _keep_newer(self._positions, game_id, found)
            case Action.GET_PLAYER_INVENTORY:
                _keep_newer(self._inventories, game_id, found)
            case _ if part == _EVENT:
                _keep_newer(self._sent, game_id, found)
            case _ if name == _ONLINE:
                self._restore_online(found)
            case _ if name == _MADE_UP and found.payload.isdigit():
                self._made_up = max(self._made_up, int(found.payload))
            case _ if part in CATALOGUES:
                action = Action(part)
                self._catalogues[action] = max(found.at_s, self._catalogues.get(action, found.at_s))

    def _restore_online(self, found: Kept) -> None:
        at_s = found.at_s
        if self._listed_s is not None and self._listed_s > at_s:
            return
        try:
            players = orjson.loads(found.payload)
            self._online = {p["gameId"]: Kept(at_s, kept_json(p)) for p in players}
            self._listed_s = self._counted_s = at_s
        except (orjson.JSONDecodeError, TypeError, KeyError):
            self._online = {}


def _keep_newer(kept: OrderedDict[str, Kept], game_id: str, found: Kept) -> None:
    if game_id not in kept or kept[game_id].at_s <= found.at_s:
        kept[game_id] = found


def _stored(kept: Kept) -> bytes:
    return b"%.3f %b" % (kept.at_s, kept.payload)
