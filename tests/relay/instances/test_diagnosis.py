"""Why an instance is not up, with the setting or the command that fixes it."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from services.relay.instances.definitions import NOT_LET_IN, DefinedInstance
from services.relay.instances.diagnosis import Problem, ProblemCode, diagnose, wrong_keys
from services.relay.instances.facts import Facts
from services.relay.instances.records import KeyDigest
from services.relay.instances.wrong_keys import WrongKeyCall
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance
from services.uplink.events.ages import CHAT_S, LOG_S
from tests.support.facts import NOW_MS, UP

INSTANCE = Instance(
    slug="one",
    name="Server one",
    identity_token=SecretStr("identity"),
    registration_token=SecretStr("token"),
)
ENTRY = DefinedInstance(INSTANCE, Origin.FILE, (KeyDigest(digest="d", added_ms=0),))
UNTOKENED = replace(ENTRY, instance=INSTANCE.model_copy(update={"registration_token": None}))
STORED = replace(ENTRY, origin=Origin.REDIS)
URL = "http://127.0.0.1:8088"


def test_a_server_that_is_up_has_no_problem() -> None:
    assert diagnose(ENTRY, UP, URL) == []


@pytest.mark.parametrize(
    ("definition", "facts", "what", "fix"),
    [
        (ENTRY, replace(UP, contact_ms=None), "never called", f"TakaroApiUrl must be {URL}/k/<mod key>"),
        (replace(ENTRY, keys=()), replace(UP, contact_ms=None), "never called", f"must be {URL} (with"),
        (ENTRY, replace(UP, contact_ms=NOW_MS - 90_000), "heard of 90 s ago", "-serverMod="),
        (ENTRY, replace(UP, link="refused"), "Takaro refuses", "registration_token"),
        (STORED, replace(UP, link="refused"), "Takaro refuses", "instance set one --registration-token-file"),
        (ENTRY, replace(UP, link="waiting"), "out of reach", "[takaro] url"),
        (ENTRY, replace(UP, link=""), "no link to Takaro yet", "log of uplink"),
        (ENTRY, replace(UP, link="stopped"), "was stopped", "start uplink"),
        (ENTRY, replace(UP, uplink=""), "no uplink owns it", "start the relay"),
        (UNTOKENED, replace(UP, link="", uplink=""), "no registration token", "set registration_token"),
        (replace(ENTRY, disabled=True), UP, "disabled", "dayz-relay instance enable one"),
        (
            replace(ENTRY, shadowed=True, note="not served: two has it"),
            UP,
            "not served: two",
            "instance remove one",
        ),
        (
            replace(ENTRY, keys=(), note=f"another; {NOT_LET_IN}"),
            UP,
            "not let in",
            "`mod_keys` in relay.toml",
        ),
        (replace(STORED, keys=(), note=NOT_LET_IN), UP, "not let in", "dayz-relay instance rotate one"),
    ],
)
def test_each_problem_is_named_with_its_fix(
    definition: DefinedInstance, facts: Facts, what: str, fix: str
) -> None:
    (problem,) = diagnose(definition, facts, URL)
    assert problem.serious and what in problem.what and fix in problem.fix


def test_the_only_server_is_not_down_for_want_of_a_key_because_another_entry_has_its_slug() -> None:
    (problem,) = diagnose(replace(ENTRY, keys=(), note="stored in Redis too"), UP, URL)
    assert problem.code is ProblemCode.ENTRY_CONFLICT and not problem.serious


@pytest.mark.parametrize(("silent_s", "serious"), [(19, []), (21, [False]), (59, [False]), (61, [True])])
def test_a_mod_is_late_before_it_is_silent(silent_s: int, serious: list[bool]) -> None:
    found = diagnose(ENTRY, replace(UP, contact_ms=NOW_MS - silent_s * 1000), URL)
    assert [problem.serious for problem in found] == serious


SILENT = replace(UP, contact_ms=NOW_MS - 90_000, address="10.0.0.9")
NEVER = replace(UP, contact_ms=None, address="")
AT = NOW_MS - 5_000


class Diagnosis(NamedTuple):
    of: dict[str, list[Problem]]
    fleet: list[Problem]


def diagnose_all(
    defined: dict[str, DefinedInstance], facts: dict[str, Facts], *wrong_calls: WrongKeyCall
) -> Diagnosis:
    named, fleet = wrong_keys(defined, facts, wrong_calls)
    of = {slug: diagnose(defined[slug], known, URL, named.get(slug)) for slug, known in facts.items()}
    return Diagnosis(of, fleet)


def diagnosed(facts: dict[str, Facts], *wrong_calls: WrongKeyCall) -> Diagnosis:
    defined = {
        slug: replace(ENTRY, instance=ENTRY.instance.model_copy(update={"slug": slug})) for slug in facts
    }
    return diagnose_all(defined, facts, *wrong_calls)


def blamed(found: Diagnosis) -> list[str]:
    return [
        slug for slug, problems in found.of.items() if any("wrong mod key" in one.what for one in problems)
    ]


@pytest.mark.parametrize(
    ("facts", "wrong_call", "named", "fleet"),
    [
        ({"a": SILENT, "b": NEVER}, WrongKeyCall(AT, "203.0.113.1"), [], True),
        ({"a": NEVER, "b": NEVER}, WrongKeyCall(AT, "10.0.0.9"), [], True),
        ({"a": SILENT, "b": NEVER}, WrongKeyCall(AT, "10.0.0.9"), ["a"], False),
        ({"a": SILENT, "b": SILENT}, WrongKeyCall(AT, "10.0.0.9"), [], True),  # either of them
        ({"a": SILENT, "b": replace(UP, address="10.0.0.9")}, WrongKeyCall(AT, "10.0.0.9"), ["a"], False),
        ({"a": NEVER, "b": NEVER}, WrongKeyCall(AT, "10.0.0.9", "b"), ["b"], False),
        ({"a": UP, "b": UP}, WrongKeyCall(AT, "203.0.113.1"), [], False),  # nobody is missed
        (
            {"a": SILENT},
            WrongKeyCall(NOW_MS - 110_000, "10.0.0.9"),
            [],
            False,
        ),  # it has called rightly since
        ({"a": UP}, WrongKeyCall(AT, "10.0.0.9", "a"), [], False),
        ({"a": UP, "b": NEVER}, WrongKeyCall(AT, "10.0.0.9", "removed"), [], False),
    ],
)
def test_a_wrong_key_is_a_problem_of_its_server_or_else_of_the_fleet(
    facts: dict[str, Facts], wrong_call: WrongKeyCall, named: list[str], fleet: bool
) -> None:
    found = diagnosed(facts, wrong_call)
    assert blamed(found) == named
    assert [problem.serious for problem in found.fleet] == [False] * fleet
    assert all(wrong_call.address in problem.what for problem in found.fleet)


def test_a_guessed_key_does_not_hide_a_mod_with_a_wrong_key() -> None:
    found = diagnosed(
        {"a": SILENT, "b": NEVER}, WrongKeyCall(NOW_MS, "203.0.113.1"), WrongKeyCall(AT, "10.0.0.9")
    )
    assert blamed(found) == ["a"] and found.of["a"][0].serious
    assert "203.0.113.1" in found.fleet[0].what and "more" not in found.fleet[0].what


@pytest.mark.parametrize("address", ["10.0.0.9", "203.0.113.1"])
def test_a_disabled_server_is_not_missed(address: str) -> None:
    defined = {"a": replace(ENTRY, disabled=True)}
    found = diagnose_all(defined, {"a": SILENT}, WrongKeyCall(AT, address))
    assert blamed(found) == [] == found.fleet


@pytest.mark.parametrize(
    ("wrong_call", "added_ms", "named", "fleet"),
    [
        (WrongKeyCall(AT, "10.0.0.9", "b"), AT + 1, [], False),  # another one of this slug was removed
        (WrongKeyCall(AT, "10.0.0.9", "b"), AT - 1, ["b"], False),
        (WrongKeyCall(AT, "203.0.113.1"), AT + 1, [], False),
        (WrongKeyCall(AT, "203.0.113.1"), AT - 1, [], True),
    ],
)
def test_a_wrong_key_is_not_the_problem_of_a_server_that_was_added_later(
    wrong_call: WrongKeyCall, added_ms: int, named: list[str], fleet: bool
) -> None:
    defined = {"a": ENTRY, "b": replace(ENTRY, added_ms=added_ms)}
    found = diagnose_all(defined, {"a": UP, "b": NEVER}, wrong_call)
    assert blamed(found) == named and len(found.fleet) == fleet


def test_the_reason_that_takaro_gave_is_shown() -> None:
    said = "Takaro refuses this server (max game servers reached), the plan has no room for one more"
    (problem,) = diagnose(ENTRY, replace(UP, link="refused", link_why=said), URL)
    assert problem.serious and problem.what == said


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (replace(UP, dead=2), "2 dead letters"),
        (replace(UP, events=5, oldest_ms=NOW_MS - 70_000), "5 events wait for Takaro, the oldest for 70 s"),
        (replace(UP, link="connecting"), "is being made"),
        (replace(UP, link="paused"), "has lost this server"),
    ],
)
def test_a_problem_that_does_not_keep_a_server_down_is_not_serious(facts: Facts, what: str) -> None:
    (problem,) = diagnose(ENTRY, facts, URL)
    assert not problem.serious and what in problem.what and problem.fix


def test_serious_problems_come_first() -> None:
    found = diagnose(ENTRY, replace(UP, dead=1, link="refused", contact_ms=None), URL)
    assert [problem.serious for problem in found] == [True, True, False]


@pytest.mark.parametrize(
    ("definition", "facts", "words"),
    [
        (ENTRY, replace(UP, link="waiting"), "once the link is ready"),
        (ENTRY, UP, "one after the other"),
        (UNTOKENED, replace(UP, link="", uplink=""), "once the link is ready"),
    ],
)
def test_the_backlog_problem_says_which_events_become_too_old(
    definition: DefinedInstance, facts: Facts, words: str
) -> None:
    behind = replace(facts, events=1, oldest_ms=NOW_MS - 900_000)
    problem = next(one for one in diagnose(definition, behind, URL) if "wait" in one.what)
    assert problem.what == "1 event waits for Takaro, the oldest for 15 min"
    assert words in problem.fix and "none is lost" not in problem.fix
    assert f"chat lines older than {CHAT_S:g} s" in problem.fix
    assert f"log lines older than {LOG_S / 60:g} min" in problem.fix


def test_dead_letters_are_a_problem_without_a_guessed_reason() -> None:
    (problem,) = diagnose(ENTRY, replace(UP, dead=1), URL)
    assert problem.what == "1 dead letter"
    assert problem.fix == "dayz-relay dlq list one"


def test_without_a_token_the_fix_does_not_promise_to_keep_all_events() -> None:
    (problem,) = diagnose(UNTOKENED, replace(UP, link="", uplink=""), URL)
    assert "chat" in problem.fix


def test_a_shadowed_server_has_no_problem_of_its_mod_or_link() -> None:
    shadowed = replace(ENTRY, shadowed=True, note="not served: two has the same identity token")
    (problem,) = diagnose(shadowed, replace(UP, link="", uplink="", contact_ms=None), URL)
    assert problem.serious and "two has the same" in problem.what
