"""The events of the bench, prepared before the measurement, as generation SCANNER writes them."""

from functools import cache

from services.sim.dayz.events import Channel, GameIncident, write_batch, write_event
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Player, make_player

PLAYERS = 200
CYCLE_EVENTS = 10 * PLAYERS
PACE_CYCLE = 10
MIX = "of 10 events 4 chat lines, 4 log lines, 1 connect, 1 disconnect; 200 players in turn"


@cache
def player(number: int) -> Player:
    return make_player(number % PLAYERS, name=f"Survivor {number % PLAYERS}")


@cache
def event(number: int) -> bytes:
    """Event `number` of a game that repeats after CYCLE_EVENTS. Neighbouring events differ."""
    number %= CYCLE_EVENTS
    round_, step = divmod(number, 10)
    if step == 0:
        happening = GameIncident("player-connected", player(round_))
    elif step == 5:
        happening = GameIncident("player-disconnected", player(round_ - PLAYERS // 2))
    elif step in (1, 3, 6, 8):
        text = f"anyone near the airfield? got spare ammo {number}"
        happening = GameIncident("chat-message", player(round_ - 5 * step), text=text, channel=Channel.GLOBAL)
    else:
        happening = GameIncident("log", text=f"[Loot] crate {number} spawned at 7500.5 200.25 7500.75")
    return write_event(Generation.SCANNER, happening, "2018-07-02T12:34:00Z")


@cache
def bodies(batch: int) -> tuple[bytes, ...]:
    """The bodies of one whole cycle, each with its Content-Length before it."""
    return tuple(
        with_length(write_batch([event(number) for number in range(start, start + batch)]))
        for start in range(0, CYCLE_EVENTS, batch)
    )


@cache
def paced_events(players: int) -> tuple[bytes, ...]:
    """The events of a server with that many players, in turn. A player who leaves comes back at once."""
    events = []
    for number in range(PACE_CYCLE * players):
        who, step = player(number // PACE_CYCLE % players), number % PACE_CYCLE
        other = player((number * 7 + 1) % players)
        if step in (4, 5):
            kind = "player-disconnected" if step == 4 else "player-connected"
            happening = GameIncident(kind, who)
        elif step == 7:
            happening = GameIncident("player-death", other, who, weapon="M4-A1")
        elif step in (1, 3, 8):
            happening = GameIncident(
                "entity-killed", other, weapon="KA-M", entity="ZmbM_usSoldier_normal_Base"
            )
        elif step == 9:
            happening = GameIncident("log", text=f"[Loot] crate {number} spawned at 7500.5 200.25 7500.75")
        else:
            text = f"anyone near the airfield? got spare ammo {number}"
            happening = GameIncident("chat-message", other, text=text, channel=Channel.GLOBAL)
        events.append(write_event(Generation.SCANNER, happening, "2018-07-02T12:34:00Z"))
    return tuple(events)


def with_length(body: bytes) -> bytes:
    """The last header of a POST, and its body."""
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def marked_body(numbers: range) -> bytes:
    """A batch of chat lines of as many players; the texts are `#<number>`, to be found at the other end."""
    events = []
    for number in numbers:
        happening = GameIncident("chat-message", player(number), text=f"#{number}", channel=Channel.GLOBAL)
        events.append(write_event(Generation.SCANNER, happening, "2018-07-02T12:34:00Z"))
    return with_length(write_batch(events))


def connected(players: int) -> list[bytes]:
    """The batches of `players` players who join."""
    events = [
        write_event(Generation.SCANNER, GameIncident("player-connected", player(number)), "")
        for number in range(players)
    ]
    return [with_length(write_batch(events[at : at + 50])) for at in range(0, players, 50)]
