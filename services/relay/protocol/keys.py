"""The names of everything the relay keeps in Redis.

All keys of one instance share a hash tag, so one script may touch them together on a cluster too.
"""

from dataclasses import dataclass, fields
from functools import cache

WAKE_EVENTS = "relay:wake:events"
"""Channel: the slugs of instances that have new events. Only a hint, as the others: a look finds all."""

WAKE_RESULTS = "relay:wake:results"
"""Channel: the slugs of instances whose mods have answered."""

WAKE_MODAPI = "relay:wake:modapi"
"""Channel: the slug of an instance that has a new command. Only a hint: a held poll looks at its end too."""

WAKE_LEASES = "relay:wake:leases"
"""Channel: the slug of an instance whose lease was given back."""

UPLINKS = "relay:uplinks"
BEATS = "relay:beats"
"""Counts on as long as any uplink runs. Whoever has seen more of them than there are knows: data was lost."""
"""Hash: the beats of each uplink that runs, by its name."""

WAKE_INSTANCES = "relay:wake:instances"
"""Channel: the slug of an instance that was added, changed or removed."""

INSTANCES = "relay:{instances}:records"
"""Hash: slug -> an instance that is not in relay.toml, as instances/records.py has it."""

INSTANCES_IDENTITIES = "relay:{instances}:identities"
"""Hash: SHA-256 of an identity token -> the slug of the stored instance that has it."""

INSTANCES_VERSION = "relay:{instances}:version"
"""String: a random word, another one after each change. (A number could come round to the same after a
failover that lost a change.)"""

INSTANCES_REMOVALS = "relay:{instances}:removals"
"""Sorted set: slug -> when the data of a removed instance is to be deleted (ms)."""

INSTANCES_CLOCK = "relay:{instances}:clock"
"""String: the last reading of Redis' clock, and its steps (store/clock.py). Replaced keys and removed
instances age by it."""

ADMIN_PORTS = "relay:admin-ports"
"""Sorted set: "<service> <machine> <port> <host>" of each admin port -> when it was last noted (s)."""

IDENTIFIES = "relay:identifies"
"""String: how far the turns to identify that were given out reach, see scripts/identify_turn.lua."""


WATCH = "relay:watch:"
"""Prefix of channels, followed by the slug of an instance. Its activity is published there while somebody
watches (instances/activity.py)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one instance."""

    events: str  # stream: one entry a batch, its game events as a JSON list
    intake: str  # hash: the last batches and whether they were answered; what is queued; what is delivered
    dead: str  # stream, bounded: events that cannot become valid, with the reason
    players: str  # hash: gameId -> the player as last seen, to complete records that lack identity
    mirror: str  # hash: what uplink knows of the game, with its age, to outlive a restart
    catalogues: str  # hash: the long lists of the game, as answers to Takaro
    writes: str  # stream: requests on their way to the mod that change the game
    reads: str  # stream: those that only ask
    refreshes: str  # stream: those whose answer nobody waits for
    waiting: str  # sorted set: operation id -> deadline (ms), not handed out yet
    handed: str  # sorted set: operation id -> deadline (ms), handed to the mod, no result yet
    ended: str  # sorted set: operation id -> when (ms), answered or given up a short while ago
    results: str  # stream: what the mod answered, on its way to Takaro
    contact: str  # string: when the mod was last heard of (ms)
    link: str  # hash: the state of the connection to Takaro, its id for this server, whose socket it asks
    lease: str  # hash: which uplink owns the instance: its token, its name, its renewals, who else wants it
    mod: str  # hash: what the mod said of itself, and for how long a poll of its may be held
    watched: str  # string, short-lived: somebody looks at what passes, see instances/activity.py
    alerts: str  # hash: what people were told is wrong -> since when (s)
    minutes: str  # sorted set: one row for each of the last minutes in which something passed, see minutes.py


@cache
def keys_of(slug: str) -> Keys:
    """The keys of the instance `slug`."""
    return Keys(**{field.name: f"relay:{{{slug}}}:{field.name}" for field in fields(Keys)})
