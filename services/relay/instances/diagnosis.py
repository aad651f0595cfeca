"""Says why an instance is not up, and how to fix that. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from services.relay.instances.definitions import NOT_LET_IN, DefinedInstance
from services.relay.instances.facts import Facts
from services.relay.instances.wrong_keys import WrongKeyCall
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S, Origin
from services.relay.service.durations import span
from services.relay.service.settings import REGISTRATION_TOKEN_PLACE

BEHIND_S = 60.0  # age of the oldest waiting event from which the backlog is a problem

LATE_S = 20.0  # time without a call from which a mod is late: it calls at least every 7 s

LATER_MS = 10_000
"""The contact of a mod with the right key is stored every 5 s. Only after this time without a contact may a
wrong call come from the same mod."""


@unique
class ProblemCode(StrEnum):
    """The kind of a problem, for programs. The API shows it, so a code keeps its meaning."""

    DISABLED = "disabled"
    NOT_SERVED = "not_served"  # another server has its identity
    NO_MOD_KEY = "no_mod_key"
    ENTRY_CONFLICT = "entry_conflict"  # relay.toml or another server has the same slug or mod key
    NEVER_CALLED = "never_called"
    LATE = "late"  # not heard of for longer than usual, and not silent yet
    SILENT = "silent"
    WRONG_KEY = "wrong_key"
    NO_REGISTRATION_TOKEN = "no_registration_token"
    NO_OWNER = "no_owner"
    LINK_MISSING = "link_missing"
    OUT_OF_REACH = "out_of_reach"
    REFUSED = "refused"
    PAUSED = "paused"
    STOPPED = "stopped"
    CONNECTING = "connecting"
    BACKLOG = "backlog"
    DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, slots=True)
class Problem:
    """`serious`: somebody has to act. `fix` names the setting or the command."""

    code: ProblemCode
    serious: bool
    what: str
    fix: str


_LINKS: dict[str, Problem] = {
    "": Problem(
        ProblemCode.LINK_MISSING, True, "it has had no link to Takaro yet", "look at the log of uplink"
    ),
    LinkState.WAITING: Problem(
        ProblemCode.OUT_OF_REACH,
        True,
        "Takaro is out of reach; it is tried again",
        "nothing, if Takaro is down; `dayz-relay doctor` tries [takaro] url from here",
    ),
    LinkState.REFUSED: Problem(
        ProblemCode.REFUSED,
        True,
        "Takaro refuses this server",
        "if it is the token: copy it from Takaro's dashboard anew (Settings, Game Servers, Add Game Server,"
        " Generic) into registration_token{own}. If it is the number of servers: remove one at Takaro, or"
        " change the plan. If it is the name: give the server another one. It is tried again every few"
        " minutes",
    ),
    LinkState.PAUSED: Problem(
        ProblemCode.PAUSED,
        False,
        "Takaro has lost this server; the relay identifies it again",
        "nothing, if it is over within a minute",
    ),
    LinkState.STOPPED: Problem(ProblemCode.STOPPED, True, "the link to Takaro was stopped", "start uplink"),
}
_COMPARE = (
    "compare TakaroApiUrl in profiles/TakaroIntegration/config.json with the server's mod key, letter by"
    " letter; then restart the DayZ server"
)
_KEPT = "its events are kept, but for chat lines older than 15 s and log lines older than 10 min"
_CONNECTING = Problem(
    ProblemCode.CONNECTING,
    False,
    "the link to Takaro is being made",
    "nothing, if it is over within a minute",
)


def wrong_keys(
    defined: Mapping[str, DefinedInstance], facts: Mapping[str, Facts], wrong_calls: Iterable[WrongKeyCall]
) -> tuple[dict[str, WrongKeyCall], list[Problem]]:
    """The newest call with a wrong key of each instance by slug; a problem if some mod is silent, and calls
    belong to no known instance.

    A call belongs to the server that its key or token shows, or else to the only silent server whose mod last
    called from that address; but not if the server was added, or its mod called with its key, after that
    call.
    """
    enabled = {slug: known for slug, known in facts.items() if not defined[slug].disabled}
    contact_ms = {slug: known.contact_ms or 0 for slug, known in enabled.items()}
    added_ms = {slug: defined[slug].added_ms for slug in enabled}
    slugs_at: dict[str, list[str]] = {}
    for slug, known in enabled.items():
        slugs_at.setdefault(known.address, []).append(slug)
    named: dict[str, WrongKeyCall] = {}
    unknown = []
    for call in wrong_calls:
        possible = slugs_at.get(call.address, [])
        if call.slug:
            possible = [call.slug] if call.slug in enabled else []
        missed = [
            slug
            for slug in possible
            if call.at_ms - contact_ms[slug] > LATER_MS and call.at_ms >= added_ms[slug]
        ]
        if len(missed) == 1:
            named.setdefault(missed[0], call)
        elif not call.slug and not any(contact_ms[slug] - call.at_ms > LATER_MS for slug in possible):
            # no mod has called from there with the right key since then
            unknown.append(call)
    silent = [slug for slug, known in enabled.items() if known.is_silent and slug not in named]
    since_ms = min((added_ms[slug] for slug in silent), default=math.inf)
    addresses = [call.address for call in unknown if call.at_ms >= since_ms]
    if not addresses:
        return named, []
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    what = f"calls with a mod key that opens no server come from {addresses[0]}{more}"
    fix = f"if a DayZ server of yours is there: {_COMPARE}"
    return named, [Problem(ProblemCode.WRONG_KEY, False, what, fix)]


def diagnose(
    definition: DefinedInstance, facts: Facts, base_url: str, wrong_call: WrongKeyCall | None = None
) -> list[Problem]:
    """The problems of an instance, the worst first. `base_url` is the address that mods call, `wrong_call` a
    call of this instance's mod with a wrong key."""
    found, slug = [], definition.instance.slug
    if definition.disabled:
        fix = f"dayz-relay instance enable {slug}"
        return [Problem(ProblemCode.DISABLED, True, "it is disabled", fix)]
    if definition.note:
        fix = f"change relay.toml, or remove the stored instance: `dayz-relay instance remove {slug}`"
        code = ProblemCode.ENTRY_CONFLICT
        if definition.note.endswith(NOT_LET_IN):
            code, fix = ProblemCode.NO_MOD_KEY, f"dayz-relay instance rotate {slug}"
            if definition.origin is Origin.FILE:
                fix = "give it `mod_keys` in relay.toml"
        elif definition.shadowed:
            code = ProblemCode.NOT_SERVED
        found.append(Problem(code, code is not ProblemCode.ENTRY_CONFLICT, definition.note, fix))
    if definition.shadowed:  # it is not served: its mod and its link cannot be up
        return found
    found += [
        *_mod(facts, f"{base_url}/k/<mod key>" if definition.keys else base_url, wrong_call),
        *_link(definition, facts),
        *_waiting(slug, facts),
    ]
    return sorted(found, key=lambda problem: not problem.serious)


def _mod(facts: Facts, url: str, wrong_call: WrongKeyCall | None) -> list[Problem]:
    what = "its mod has never called"
    if facts.silent_s is not None:
        what = f"its mod was last heard of {span(facts.silent_s)} ago"
    if wrong_call:
        whose = "their key or token" if wrong_call.slug else "their address"
        what = (
            f"{what}, and since then calls with a wrong mod key come from {wrong_call.address}; by {whose}"
            " they are from this server"
        )
        return [Problem(ProblemCode.WRONG_KEY, facts.is_silent, what, _COMPARE)]
    if facts.silent_s is None:
        fix = (
            f"in profiles/TakaroIntegration/config.json, TakaroApiUrl must be {url} (with the host by which"
            " the game server reaches this machine) and RegistrationToken must not be empty; then restart"
            " the DayZ server"
        )
        return [Problem(ProblemCode.NEVER_CALLED, True, what, fix)]
    if facts.is_silent:
        fix = (
            "is the DayZ server running, with the mod in -serverMod= ? Does it reach"
            f" {url}? If its mod key was replaced, TakaroApiUrl must have the new one"
        )
        return [Problem(ProblemCode.SILENT, True, what, fix)]
    if facts.silent_s > LATE_S:
        fix = f"nothing yet: a mod counts as silent after {SILENT_AFTER_S:.0f} s"
        return [Problem(ProblemCode.LATE, False, what, fix)]
    return []


def _link(definition: DefinedInstance, facts: Facts) -> list[Problem]:
    command = f"dayz-relay instance set {definition.instance.slug} --registration-token-file FILE"
    own = "" if definition.origin is Origin.FILE else f", or its own with `{command}`"
    if definition.instance.registration_token is None:
        fix = f"set {REGISTRATION_TOKEN_PLACE}{own}: {_KEPT} until then"
        what = "it has no registration token of Takaro"
        return [Problem(ProblemCode.NO_REGISTRATION_TOKEN, True, what, fix)]
    if not facts.uplink:
        fix = "start the relay; if it runs, its log says why not, or that a change waits for a restart"
        return [Problem(ProblemCode.NO_OWNER, True, "no uplink owns it", fix)]
    if facts.link == LinkState.READY:
        return []
    problem = _LINKS.get(facts.link, _CONNECTING)
    return [replace(problem, what=facts.link_why or problem.what, fix=problem.fix.format(own=own))]


def _waiting(slug: str, facts: Facts) -> list[Problem]:
    found = []
    if (facts.oldest_s or 0) > BEHIND_S:
        events = "1 event waits" if facts.events == 1 else f"{facts.events} events wait"
        what = f"{events} for Takaro, the oldest for {span(facts.oldest_s or 0)}"
        when = "one after the other" if facts.link == LinkState.READY else "once the link is ready"
        found.append(Problem(ProblemCode.BACKLOG, False, what, f"sent {when}: {_KEPT}"))
    if facts.dead:
        what = f"{facts.dead} dead letter{'s' * (facts.dead != 1)}"
        found.append(Problem(ProblemCode.DEAD_LETTERS, False, what, f"dayz-relay dlq list {slug}"))
    return found
