"""The names of all keys and channels of the relay in Redis.

All keys of one instance share a hash tag, so one script may use them together on a cluster too.
"""

from dataclasses import dataclass, fields
from functools import cache

# Channels. Their messages are hints, which may be lost: their readers also read by themselves.
WAKE_EVENTS = "relay:wake:events"  # the slug of an instance with new events, and mostly their batch
WAKE_RESULTS = "relay:wake:results"  # the slug of an instance whose mod has posted a result
WAKE_MODAPI = "relay:wake:modapi"  # the slug of an instance with a new command
WAKE_LEASES = "relay:wake:leases"  # the slug of an instance whose lease was released
WAKE_INSTANCES = "relay:wake:instances"  # the slug of an instance that was added, changed or removed
WATCH = "relay:watch:"  # and a slug: its activity, while somebody watches (instances/activity.py)

PROBES = "relay:wake:probe:"  # and a random word: what a subscriber publishes to itself (store/client.py)

UPLINKS = "relay:uplinks"  # hash: the beats of each uplink that runs, by its name
BEATS = "relay:beats"  # string: a number that grows while any uplink runs; if it falls, Redis has lost data
IDENTIFIES = "relay:identifies"  # string: how far the turns to identify reach ahead (identify_turn.lua)

INSTANCES = "relay:{instances}:records"  # hash: slug -> an instance that is not in relay.toml (records.py)
INSTANCES_IDENTITIES = "relay:{instances}:identities"  # hash: SHA-256 of an identity token -> stored instance
INSTANCES_REMOVALS = "relay:{instances}:removals"  # sorted set: slug -> when to delete its data (ms)

INSTANCES_VERSION = "relay:{instances}:version"
"""String: a random word, a new one after each change. (A number could be the same again after a failover that
lost a change.)"""

INSTANCES_CLOCK = "relay:{instances}:clock"
"""String: the last reading of Redis' clock, and its steps (store/clock.py). Replaced keys and removed
instances age by it."""

ADMIN_PORTS = "relay:admin-ports"
"""Sorted set: "<service> <machine> <port> <host>" of each admin port -> when it was last noted (s)."""

ADMIN_TOKENS = "relay:admin-tokens"  # hash: name -> a token of the admin API (modapi/admin/tokens.py)
UNKNOWN_KEYS = "relay:unknown-keys"  # sorted set: calls with a wrong key -> when (ms; wrong_keys.py)
FORM_KEY = "relay:form-key"  # string: the key of the page's forms while it needs no token (page/access.py)
CALL_ANSWERS = "relay:{calls}:answers"  # hash: a call with an Idempotency-Key -> its answer (repeats.py)
CALL_TIMES = "relay:{calls}:times"  # sorted set: the same calls -> when they began (ms)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one instance: a field for each."""

    events: str  # stream: one entry a batch, its game events as a JSON list
    intake: str  # hash: the last batches and whether they were answered; what is queued; what is delivered
    dead: str  # stream, bounded: events that cannot become valid, with the reason
    players: str  # hash: gameId -> the player as last seen, to complete records that lack identity
    mirror: str  # hash: what the owner knows of the game, with its age, for the next owner
    catalogues: str  # hash: the long lists of the game, as answers to Takaro
    writes: str  # stream: commands that change the game
    reads: str  # stream: commands that only ask, and that a request waits for
    refreshes: str  # stream: commands that only ask, and that no request waits for
    waiting: str  # sorted set: operation id -> deadline (ms), not handed out yet
    handed: str  # sorted set: operation id -> deadline (ms), handed to the mod, no result yet
    ended: str  # sorted set: operation id -> when (ms), answered or given up a short while ago
    results: str  # stream: results of the mod, on their way to Takaro
    contact: str  # string: when the mod was last heard of (ms)
    link: str  # hash: the state of the link to Takaro, Takaro's id of the server, who identified last
    lease: str  # hash: the owner's token, name and count of renewals, and whether another uplink stands by
    mod: str  # hash: the mod's version and address, and how long its polls may be held
    watched: str  # string, short-lived: the watcher of the activity, see instances/activity.py
    alerts: str  # hash: condition that an alert was sent for -> since when (s)
    failed: str  # sorted set, bounded: operation id of a write that failed -> when (ms), see facts.py
    minutes: str  # sorted set: one row for each of the last minutes with events or commands, see history.py
    linked: str  # hash: half hour since 1970 -> seconds for which the link was ready, see history.py


@cache
def keys_of(slug: str) -> Keys:
    return Keys(**{field.name: f"relay:{{{slug}}}:{field.name}" for field in fields(Keys)})
