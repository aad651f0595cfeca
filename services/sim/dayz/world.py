"""The simulated game: its players and lists, and what each of the seventeen actions does."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Position = tuple[float, float, float]


@dataclass(slots=True)
class Item:
    code: str
    amount: int = 1
    quality: str = ""


@dataclass(slots=True)
class Player:
    game_id: str  # Steam64
    name: str
    bis_id: str  # 44 characters of base64, ending in "="
    position: Position = (7500.5, 200.25, 7500.75)
    ping: int = 45
    inventory: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ban:
    game_id: str
    name: str
    reason: str
    duration_s: int  # 0 is permanent
    expires_at: str  # "" is permanent


class RefusedOperation(Exception):
    """The mod answers ok:false with this text."""


HOSTILE_NAMES = (
    "Survivor",
    'Jo "the\\Boss" O\'Neil',
    "</script><b>x",
    "Ünïcödé Ж 漢字 🧟",
    "line\nbreak\ttab",
    "C:\\dayz\\new",
    "x" * 200,
    '","gameId":"76561190000000000',
)
ITEMS = tuple(
    (code, name, f"{name} of Chernarus")
    for code, name in (
        ("AKM", "KA-M"),
        ("M4A1", "M4-A1"),
        ("Mag_AKM_30Rnd", "30Rd KA Mag"),
        ("BandageDressing", "Bandage"),
        ("Apple", "Apple"),
        ("Blaze", "B950 'Blaze'"),
    )
)
ENTITIES = (("ZmbM_usSoldier_normal_Base", "Infected soldier"), ("Animal_UrsusArctos", "Bear"))
LOCATIONS = (("Chernogorsk", (6700.0, 20.0, 2500.0), 500.0), ("Elektro", (10400.0, 10.0, 2200.0), 400.0))


def make_player(number: int, name: str | None = None) -> Player:
    """Player `number` is the same in every run. Without `name` every fifth player has a hostile one."""
    if name is None:
        hostile = HOSTILE_NAMES[number // 5 % len(HOSTILE_NAMES)]
        name = hostile if number % 5 == 4 else f"Player {number}"
    digest = hashlib.sha256(str(number).encode()).digest()
    position = (1000.0 + number * 7 % 13000, 150.25, 2000.0 + number * 13 % 11000)
    inventory = [Item("Apple", 2), Item("AKM", 1, "pristine")]
    game_id = str(76561198000000000 + number)
    return Player(game_id, name, base64.urlsafe_b64encode(digest).decode(), position, 45, inventory)


class World:
    """The state of one server's game."""

    def __init__(self) -> None:
        self.players: dict[str, Player] = {}
        self.bans: dict[str, Ban] = {}
        self.kicked: Callable[[str], object] = self.players.pop
        """Called with the gameId of each kicked or banned player: the mod reports the disconnect."""

    def perform(self, action: str, args: dict[str, Any]) -> Any:
        """Run one action. Raises RefusedOperation with the mod's error text."""
        handler = ACTIONS.get(action)
        if handler is None:
            raise RefusedOperation(f"Unknown action: {action}")
        return handler(self, args)

    def online(self, game_id: str) -> Player:
        player = self.players.get(game_id)
        if player is None:
            raise RefusedOperation(f"Player not online: {game_id}")
        return player


def _location(world: World, args: dict[str, Any]) -> Position | None:
    player = world.players.get(args["gameId"])
    return player.position if player else None


def _inventory(world: World, args: dict[str, Any]) -> list[Item]:
    player = world.players.get(args["gameId"])
    return list(player.inventory) if player else []


def _send_message(world: World, args: dict[str, Any]) -> None:
    if not args["message"]:
        raise RefusedOperation("sendMessage: empty message")
    if args["gameId"] and args["gameId"] not in world.players:
        raise RefusedOperation(f"Recipient not online: {args['gameId']}")


def _ban(world: World, args: dict[str, Any]) -> None:
    game_id = args["gameId"]
    if not game_id:
        raise RefusedOperation("banPlayer: missing gameId")
    player = world.players.get(game_id)
    name = player.name if player else ""
    expires_at = args.get("expiresAt", "")
    world.bans[game_id] = Ban(game_id, name, args["reason"], args.get("durationSeconds", 0), expires_at)
    if player:
        world.kicked(game_id)


def _teleport(world: World, args: dict[str, Any]) -> None:
    world.online(args["gameId"]).position = (args["x"], args["y"], args["z"])


def _give(world: World, args: dict[str, Any]) -> None:
    player = world.online(args["gameId"])
    if not args["item"]:
        raise RefusedOperation("giveItem: missing item")
    player.inventory.append(Item(args["item"], max(args["amount"], 1), args["quality"]))


ACTIONS: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "testReachability": lambda world, args: True,
    "getPlayer": lambda world, args: world.players.get(args["gameId"]),
    "getPlayers": lambda world, args: list(world.players.values()),
    "getPlayerLocation": _location,
    "getPlayerInventory": _inventory,
    "listItems": lambda world, args: ITEMS,
    "listEntities": lambda world, args: ENTITIES,
    "listLocations": lambda world, args: LOCATIONS,
    "listBans": lambda world, args: list(world.bans.values()),
    "executeConsoleCommand": lambda world, args: f"ran: {args['command']}",
    "sendMessage": _send_message,
    "giveItem": _give,
    "teleportPlayer": _teleport,
    "kickPlayer": lambda world, args: world.kicked(world.online(args["gameId"]).game_id),
    "banPlayer": _ban,
    "unbanPlayer": lambda world, args: world.bans.pop(args["gameId"], None),
    "shutdown": lambda world, args: None,
}
