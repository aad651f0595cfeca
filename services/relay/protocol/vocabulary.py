"""Takaro's events and actions, the kind of each action, and where a server is defined.

Records in Redis use these words. modapi translates what a DayZ mod writes into them, and uplink makes
Takaro's frames from them (protocol.md T5 and T14).
"""

from enum import StrEnum, unique


@unique
class Origin(StrEnum):
    """Where a server is defined, and has to be changed. `relay.toml` stands for the environment too."""

    FILE = "relay.toml"
    REDIS = "api"

    @property
    def words(self) -> str:
        return "relay.toml or the environment (.env)" if self is Origin.FILE else "Redis"


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
    """The nineteen requests that Takaro sends to a game server (protocol.md T12)."""

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
    """Whether the game server is asked for an action, and whether that changes the game."""

    READ = "read"  # the game server is asked, which changes nothing in the game
    WRITE = "write"  # the game server changes the game
    OURS = "ours"  # the relay answers by itself


# Mods do not remember operation ids (protocol.md M3), so a command of any kind is handed out once or never.
ACTION_KINDS = {
    **dict.fromkeys(
        (
            *(Action.GET_PLAYER, Action.GET_PLAYERS, Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY),
            *(Action.LIST_ITEMS, Action.LIST_ENTITIES, Action.LIST_LOCATIONS, Action.LIST_BANS),
        ),
        ActionKind.READ,
    ),
    **dict.fromkeys((Action.TEST_REACHABILITY, Action.GET_MAP_INFO, Action.GET_MAP_TILE), ActionKind.OURS),
    **dict.fromkeys(
        (
            *(Action.EXECUTE_CONSOLE_COMMAND, Action.SEND_MESSAGE, Action.GIVE_ITEM, Action.TELEPORT_PLAYER),
            *(Action.KICK_PLAYER, Action.BAN_PLAYER, Action.UNBAN_PLAYER, Action.SHUTDOWN),
        ),
        ActionKind.WRITE,
    ),
}

ENTITY_TYPES = ("hostile", "friendly", "neutral")

ANSWER_WITHIN_S = 9.0
"""Maximum time from a request of Takaro to our answer. Takaro gives up after 10 s (protocol.md T12)."""

SILENT_AFTER_S = 60.0
"""Time without a call after which we tell Takaro that the server is unreachable. A mod calls every 2 s
(protocol.md M1)."""

HAND_OUT_WITHIN_S = 7.5
"""Time from a request to the deadline of its command: until then a poll may fetch it. The mod needs the rest
of ANSWER_WITHIN_S to run the command on its next tick and to post the result."""
