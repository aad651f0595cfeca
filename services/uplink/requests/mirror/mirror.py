"""What is known of one instance's game: players, positions, inventories, lists. Pure: times are arguments.

Events and results change it in the order in which uplink handles them. It holds answers in the form in which
they are sent: encoded JSON. Times are seconds on a clock that is never set. What is saved has times of the
wall clock, so that ages outlive a restart of the machine.
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
    NOTHING,
    OF_EACH_PLAYER,
    READ_RULES,
    AnswerAge,
    Reading,
    Subject,
)
from services.uplink.takaro.frames import kept_json

LATER_S = 10.0  # the mod may have made its answer this long before it came: older events are part of it


class Kept(NamedTuple):
    """An answer, and when it was true."""

    at_s: float
    payload: bytes


class MirrorChanges(NamedTuple):
    """Fields of the two hashes in Redis and their new values. An empty value deletes the field."""

    mirror: dict[str, bytes]
    catalogues: dict[str, bytes]


_ONLINE = "online"
_PLAYERS = "players"  # number of players online, for readers that need no more (relay/instances/facts.py)
_EVENT = "event"  # when an event was read of a player whose position is unknown
_MADE_UP = "made_up"  # when a position was last made up, and how many were
_FORGOTTEN = b""
_NEVER_S = float("-inf")


class Mirror:
    """The game of one instance as uplink knows it. The positions and inventories that were not renewed for
    longest are forgotten first. `beyond` is called with the name of each limit that is exceeded."""

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, beyond: Callable[[str], object] = lambda limit: None
    ) -> None:
        self._limits = limits
        self._beyond = beyond
        self._online: dict[str, Kept] = {}  # gameId -> player
        self._listed_s: float | None = None  # when the mod last said who is online
        self._counted_s = _NEVER_S  # when the list of players was last complete
        self._catalogues: dict[Action, float] = {}
        # By gameId: positions, inventories, and events of players whose position is unknown.
        self._kept: dict[str, OrderedDict[str, Kept]] = {
            part: OrderedDict() for part in (*OF_EACH_PLAYER, _EVENT)
        }
        self._made_up = 0
        self.players_changed = False  # whether who is online, or what is known of them, is unsaved
        self._changed: dict[str, Kept | None] = {}  # by field in Redis; None: it is forgotten
        self._unsaved = MirrorChanges({}, {})

    # Answers from what is known

    def read(self, subject: Subject, now_s: float) -> Reading:
        """The answer to a read. For a player who is known not to be in the game, the last answer counts as
        fresh: the mod could not say more."""
        action, game_id = subject
        if action is Action.GET_PLAYERS:
            age = age_of(action, self._listed_s, now_s)
            return NOTHING if age is AnswerAge.UNKNOWN else Reading(age, self._players())
        if action in CATALOGUES:
            return Reading(age_of(action, self._catalogues.get(action), now_s))
        kept = (self._online if action is Action.GET_PLAYER else self._kept[action]).get(game_id)
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

    def position_of(self, game_id: str) -> bytes | None:
        """The last known position of a player."""
        kept = self._kept[Action.GET_PLAYER_LOCATION].get(game_id)
        return kept.payload if kept else None

    def event_waits(self, game_id: str, now_s: float) -> bool:
        """Whether Takaro may need the position of this player to accept an event."""
        sent = self._kept[_EVENT].get(game_id)
        return sent is not None and now_s - sent.at_s <= EVENT_WAITS_S

    def make_up_position(self, now_s: float) -> bytes:
        """The position to answer when none is known and an event waits for it. Counts it."""
        self._made_up += 1
        self._changed[_MADE_UP] = Kept(now_s, b"%d" % self._made_up)
        return orjson.dumps(MADE_UP_POSITION)

    def oldest_s(self, action: Action) -> float | None:
        """When the oldest answer about a player who is online was renewed; None: nothing is known."""
        if action is Action.GET_PLAYERS:
            return self._listed_s
        kept = self._kept[action]
        known = (kept[game_id].at_s for game_id in self._online if game_id in kept)
        return min((at_s for at_s in known if at_s > _NEVER_S), default=None)  # see `take_write`

    def _players(self) -> bytes:
        return b"[" + b",".join(kept.payload for kept in self._online.values()) + b"]"

    # Events, answers and writes that change it

    def take_event(self, event: GameEvent, at_s: float, now_s: float) -> str:
        """Takes in an event of `at_s` that was read from the stream. Returns the gameId of a player who
        is now known to be in the game and was not before, else "".

        After an outage `at_s` may be hours ago. What the mod has answered since then is not changed.
        """
        data = event["data"]
        player = data.get("player")
        if not player:
            return ""
        game_id: str = player["gameId"]
        position = self._kept[Action.GET_PLAYER_LOCATION].get(game_id)
        if position is None:
            self._keep(_EVENT, game_id, Kept(now_s, b""))
        online = self._online.get(game_id)
        known_s = max(self._counted_s, online.at_s) if online else self._counted_s
        match event["type"]:
            case EventType.PLAYER_DEATH if data.get("position"):
                if position is None or at_s > position.at_s - LATER_S:
                    self._keep_position(game_id, data["position"], at_s)
            case _ if at_s <= known_s - LATER_S:
                pass
            case EventType.PLAYER_CONNECTED | EventType.CHAT_MESSAGE:
                self._set_online(game_id, player, at_s)
                return "" if online else game_id
            case EventType.PLAYER_DISCONNECTED if online:
                del self._online[game_id]
                self.players_changed = True
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
                self.players_changed = True
            case Action.GET_PLAYER if game_id in self._online and value["gameId"] == game_id:
                self._set_online(game_id, value, now_s)
            case Action.GET_PLAYER_LOCATION:
                self._keep_position(game_id, value, now_s)
            case Action.GET_PLAYER_INVENTORY:
                payload = kept_json(value)
                if len(payload) <= self._limits.inventory_bytes:
                    self._keep(action, game_id, Kept(now_s, payload))
                else:
                    self._beyond("inventory_bytes")
            case _ if action in CATALOGUES:
                payload = kept_json(value)
                if len(payload) > self._limits.catalogue_bytes:
                    self._beyond("catalogue_bytes")
                    return
                self._catalogues[action] = now_s
                self._changed[action] = Kept(now_s, b"")
                self._unsaved.catalogues[action] = payload

    def take_write(self, action: Action, args: Mapping[str, Any], now_s: float) -> None:
        """Takes in a write that the mod has run: keeps its result, or forgets what it made false."""
        game_id, inventories = args.get("gameId", ""), self._kept[Action.GET_PLAYER_INVENTORY]
        match action:
            case Action.TELEPORT_PLAYER:
                self._keep_position(game_id, {axis: args[axis] for axis in "xyz"}, now_s)
            case Action.GIVE_ITEM if game_id in inventories:
                self._keep(Action.GET_PLAYER_INVENTORY, game_id, inventories[game_id]._replace(at_s=_NEVER_S))
            case Action.BAN_PLAYER | Action.UNBAN_PLAYER:
                self._catalogues.pop(Action.LIST_BANS, None)
                self._changed[Action.LIST_BANS] = None

    def game_restarted(self, now_s: float) -> None:
        """The game server may have started anew: nobody is known to be online until the mod answers."""
        self._online.clear()
        self._listed_s = None
        self._counted_s = now_s
        self.players_changed = True
        for action, at_s in self._catalogues.items():  # stale at least, though mostly still right
            stale_s = self._catalogues[action] = min(at_s, now_s - READ_RULES[action].fresh_s - 1.0)
            self._changed[action] = Kept(stale_s, b"")

    def _set_online(self, game_id: str, player: Mapping[str, Any], now_s: float) -> None:
        known, now = self._online.get(game_id), Kept(now_s, kept_json(player))
        if known is None and len(self._online) >= self._limits.mirror_players:
            self._beyond("mirror_players")
            return
        self._online[game_id] = now
        if known is None or known.payload != now.payload:
            self.players_changed = True

    def _keep_position(self, game_id: str, position: Mapping[str, Any], now_s: float) -> None:
        self._keep(Action.GET_PLAYER_LOCATION, game_id, Kept(now_s, kept_json(position)))
        if self._kept[_EVENT].pop(game_id, None):
            self._changed[f"{_EVENT}:{game_id}"] = None

    def _keep(self, part: str, game_id: str, answer: Kept) -> None:
        kept = self._kept[part]
        kept[game_id] = answer
        kept.move_to_end(game_id)
        self._changed[f"{part}:{game_id}"] = answer
        if len(kept) > self._limits.mirror_players:
            self._beyond("mirror_players")
            oldest, _ = kept.popitem(last=False)
            self._changed[f"{part}:{oldest}"] = None

    # Saving in Redis

    def take_changes(self, ahead_s: float = 0.0) -> MirrorChanges:
        """What has changed since the last call. The wall clock is `ahead_s` ahead of the mirror's."""
        changes, self._unsaved = self._unsaved, MirrorChanges({}, {})
        fields, changed = changes.mirror, self._changed
        if self.players_changed:
            self.players_changed = False
            listed = None if self._listed_s is None else Kept(self._listed_s, self._players())
            fields[_PLAYERS] = b"%d" % self.online if listed else _FORGOTTEN
            changed[_ONLINE] = listed
        for field, kept in changed.items():
            fields[field] = b"%.3f %b" % (kept.at_s + ahead_s, kept.payload) if kept else _FORGOTTEN
        changed.clear()
        return changes

    def put_back(self, changes: MirrorChanges) -> None:
        """Takes back changes that could not be saved. Changes made meanwhile are newer."""
        newer = self._unsaved
        self._unsaved = MirrorChanges(changes.mirror | newer.mirror, changes.catalogues | newer.catalogues)
        self.players_changed |= _ONLINE in changes.mirror

    def restore(self, fields: Mapping[str, bytes], now_s: float, ahead_s: float = 0.0) -> None:
        """Takes in what it can read of what was saved, unless what is known is newer. Of catalogues only the
        age: they are read from Redis when they are needed.

        What an earlier call took in gives way: its owner may have found since that it is out of date.
        """
        ours = self._changed.keys() | self._unsaved.mirror.keys()
        for part, kept in self._kept.items():
            for game_id in [name for name in kept if f"{part}:{name}" not in ours]:
                del kept[game_id]
        for action in self._catalogues.keys() - ours:
            del self._catalogues[action]
        if not self.players_changed:
            self._online, self._listed_s = {}, None
        for name, stored in fields.items():
            if name in CATALOGUES and name in ours:
                continue  # a ban, or a restart of the game, made older answers wrong
            at_s, _, payload = stored.partition(b" ")
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self._restore(name, Kept(min(float(at_s) - ahead_s, now_s), payload))

    def _restore(self, name: str, found: Kept) -> None:
        part, _, game_id = name.partition(":")
        if part in self._kept:
            known = self._kept[part].get(game_id)
            if known is None or _NEVER_S < known.at_s <= found.at_s:
                self._kept[part][game_id] = found
        elif name == _ONLINE and self._counted_s <= found.at_s:
            players = orjson.loads(found.payload)
            self._online = {p["gameId"]: Kept(found.at_s, kept_json(p)) for p in players}
            self._listed_s = self._counted_s = found.at_s
        elif name == _MADE_UP and found.payload.isdigit():
            self._made_up = max(self._made_up, int(found.payload))
        elif part in CATALOGUES:
            self._catalogues[Action(part)] = found.at_s


def age_of(action: Action, at_s: float | None, now_s: float) -> AnswerAge:
    """The age at `now_s` of an answer of `at_s` (None: there is none). One of the future is fresh."""
    if at_s is None:
        return AnswerAge.UNKNOWN
    rule, old_s = READ_RULES[action], now_s - at_s
    if old_s <= rule.fresh_s:
        return AnswerAge.FRESH
    return AnswerAge.STALE if old_s <= rule.known_s else AnswerAge.UNKNOWN
