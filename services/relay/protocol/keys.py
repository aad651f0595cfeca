"""The names of all keys and channels of the relay in Redis.

All keys of one instance share a hash tag, so one script may use them together on a cluster too.
"""

from dataclasses import dataclass, fields
from functools import cache

WAKE_EVENTS = "relay:wake:events"
"""Channel: the slug of an instance with new events, and mostly the batch (append.lua). Like all hints it may
be lost: renewals look too."""

WAKE_RESULTS = "relay:wake:results"
"""Channel: the slug of an instance whose mod has posted a result."""

WAKE_MODAPI = "relay:wake:modapi"
"""Channel: the slug of an instance with a new command. It may be lost: held polls look at their end."""

WAKE_LEASES = "relay:wake:leases"
"""Channel: the slug of an instance whose lease was released."""

UPLINKS = "relay:uplinks"
"""Hash: the beats of each uplink that runs, by its name."""

BEATS = "relay:beats"
"""String: a number that grows while any uplink runs. If it is lower than before, Redis has lost data."""

WAKE_INSTANCES = "relay:wake:instances"
"""Channel: the slug of an instance that was added, changed or removed."""

INSTANCES = "relay:{instances}:records"
"""Hash: slug -> an instance that is not in relay.toml, as instances/records.py has it."""

INSTANCES_IDENTITIES = "relay:{instances}:identities"
"""Hash: SHA-256 of an identity token -> the slug of the stored instance that has it."""

INSTANCES_VERSION = "relay:{instances}:version"
"""String: a random word, a new one after each change. (A number could be the same again after a failover that
lost a change.)"""

INSTANCES_REMOVALS = "relay:{instances}:removals"
"""Sorted set: slug -> when the data of a removed instance is to be deleted (ms)."""

INSTANCES_CLOCK = "relay:{instances}:clock"
"""String: the last reading of Redis' clock, and its steps (store/clock.py). Replaced keys and removed
instances age by it."""

ADMIN_PORTS = "relay:admin-ports"
"""Sorted set: "<service> <machine> <port> <host>" of each admin port -> when it was last noted (s)."""

ADMIN_TOKENS = "relay:admin-tokens"
"""Hash: name -> a token of the admin API, as modapi/admin/tokens.py has it."""

FORM_KEY = "relay:form-key"
"""String: the key of the forms of the page while it needs no token (modapi/page/access.py)."""

CALL_ANSWERS = "relay:{calls}:answers"
"""Hash: a call of the admin API with an Idempotency-Key -> its answer, as modapi/admin/repeats.py has it."""

CALL_TIMES = "relay:{calls}:times"
"""Sorted set: the same calls -> when they began (ms)."""

IDENTIFIES = "relay:identifies"
"""String: in how many ms the last turn to identify comes, and since when; see scripts/identify_turn.lua."""


WATCH = "relay:watch:"
"""Prefix of channels, followed by the slug of an instance. Its activity is published there while somebody
watches (instances/activity.py)."""


@dataclass(frozen=True, slots=True)
class Keys:
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
