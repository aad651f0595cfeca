"""The words both services share: Takaro's events and actions, and what may be done with each.

Everything that crosses Redis is said in these words. What a DayZ mod writes is turned into them by
modapi, what goes on Takaro's wire is made from them by uplink (protocol.md T5 and T14).
"""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class EventType(StrEnum):
    """The six game events that Takaro takes (protocol.md T5)."""

    LOG = "log"
    PLAYER_CONNECTED = "player-connected"
    PLAYER_DISCONNECTED = "player-disconnected"
    CHAT_MESSAGE = "chat-message"
    PLAYER_DEATH = "player-death"
    ENTITY_KILLED = "entity-killed"


@unique
class Action(StrEnum):
    """The nineteen requests that Takaro makes of a game server (protocol.md T12)."""

    GET_PLAYER = "getPlayer"
    GET_PLAYERS = "getPlayers"
    GET_PLAYER_LOCATION = "getPlayerLocation"
    GET_PLAYER_INVENTORY = "getPlayerInventory"
    LIST_ITEMS = "listItems"
    LIST_ENTITIES = "listEntities"
    LIST_LOCATIONS = "listLocations"
    LIST_BANS = "listBans"
    TEST_REACHABILITY = "testReachability"
    GET_MAP_INFO = "getMapInfo"
    GET_MAP_TILE = "getMapTile"
    EXECUTE_CONSOLE_COMMAND = "executeConsoleCommand"
    SEND_MESSAGE = "sendMessage"
    GIVE_ITEM = "giveItem"
    TELEPORT_PLAYER = "teleportPlayer"
    KICK_PLAYER = "kickPlayer"
    BAN_PLAYER = "banPlayer"
    UNBAN_PLAYER = "unbanPlayer"
    SHUTDOWN = "shutdown"


@unique
class ActionKind(StrEnum):
    """Who answers a request, and what asking the game server for it means."""

    READ = "read"  # the game server is asked; the question changes nothing there
    WRITE = "write"  # the game server does something
    OURS = "ours"  # the relay knows the answer, the game server is not asked


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What the relay may do with one action.

    `repeatable`: handing it to a mod twice does no harm. Mods keep no memory of operation ids
    (protocol.md M3), so anything else is handed out once or never.
    """

    kind: ActionKind
    repeatable: bool


_READ = ActionRule(ActionKind.READ, repeatable=True)
_ONCE = ActionRule(ActionKind.WRITE, repeatable=False)
_SETS_A_STATE = ActionRule(ActionKind.WRITE, repeatable=True)
_OURS = ActionRule(ActionKind.OURS, repeatable=True)

ACTION_RULES: dict[Action, ActionRule] = {
    Action.GET_PLAYER: _READ,
    Action.GET_PLAYERS: _READ,
    Action.GET_PLAYER_LOCATION: _READ,
    Action.GET_PLAYER_INVENTORY: _READ,
    Action.LIST_ITEMS: _READ,
    Action.LIST_ENTITIES: _READ,
    Action.LIST_LOCATIONS: _READ,
    Action.LIST_BANS: _READ,
    Action.TEST_REACHABILITY: _OURS,
    Action.GET_MAP_INFO: _OURS,
    Action.GET_MAP_TILE: _OURS,
    Action.EXECUTE_CONSOLE_COMMAND: _ONCE,
    Action.SEND_MESSAGE: _ONCE,
    Action.GIVE_ITEM: _ONCE,
    Action.TELEPORT_PLAYER: _ONCE,
    Action.KICK_PLAYER: _ONCE,
    Action.BAN_PLAYER: _SETS_A_STATE,
    Action.UNBAN_PLAYER: _SETS_A_STATE,
    Action.SHUTDOWN: _ONCE,
}

CHAT_CHANNELS = ("global", "team", "friends", "whisper")
ENTITY_TYPES = ("hostile", "friendly", "neutral")

ANSWER_WITHIN_S = 9.0
"""Takaro has our answer this long after its request arrived, come what may: it gives up after 10 s
(protocol.md T12)."""

SILENT_AFTER_S = 60.0
"""A mod calls every 2 s (protocol.md M1). After so long without a call, Takaro is told that it is away."""

HAND_OUT_WITHIN_S = 7.5
"""A command is handed to the mod this long after its request arrived, or never: what is left of
ANSWER_WITHIN_S is what the mod needs to run it on its next tick and to post the result."""
