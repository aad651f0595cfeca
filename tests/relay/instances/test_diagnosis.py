"""Why an instance is not up, with the field or the command that mends it."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from services.relay.instances.diagnosis import diagnose
from services.relay.instances.entries import Entry, Origin
from services.relay.instances.facts import Facts
from services.relay.instances.records import KeyDigest
from services.relay.instances.strangers import Stranger
from services.relay.settings import Instance

NOW_MS = 1_800_000_000_000
WELL = Facts(
    now_ms=NOW_MS,
    uplink="host-1",
    link="ready",
    game_server_id="id",
    link_why="",
    contact_ms=NOW_MS - 3_000,
    events=0,
    events_bytes=0,
    oldest_ms=None,
    commands=0,
    dead=0,
    players=3,
    mod_version="1",
    hold_ms=None,
)
INSTANCE = Instance(
    slug="one",
    name="Server one",
    identity_token=SecretStr("identity"),
    registration_token=SecretStr("token"),
)
ENTRY = Entry(INSTANCE, Origin.FILE, (KeyDigest(digest="d", added_ms=0),))
UNTOKENED = replace(ENTRY, instance=INSTANCE.model_copy(update={"registration_token": None}))
URL = "http://127.0.0.1:8088"


def test_a_server_that_is_well_has_no_problem() -> None:
    assert diagnose(ENTRY, WELL, URL) == []


@pytest.mark.parametrize(
    ("entry", "facts", "what", "fix"),
    [
        (ENTRY, replace(WELL, contact_ms=None), "never called", f"TakaroApiUrl must be {URL}/k/<mod key>"),
        (replace(ENTRY, keys=()), replace(WELL, contact_ms=None), "never called", f"must be {URL} (with"),
        (ENTRY, replace(WELL, contact_ms=NOW_MS - 90_000), "heard of 90 s ago", "-serverMod="),
        (ENTRY, replace(WELL, link="refused"), "Takaro refuses", "registration_token"),
        (ENTRY, replace(WELL, link="waiting"), "out of reach", "[takaro] url"),
        (ENTRY, replace(WELL, link=""), "no link to Takaro yet", "log of uplink"),
        (ENTRY, replace(WELL, link="stopped"), "was stopped", "start uplink"),
        (ENTRY, replace(WELL, uplink=""), "no uplink owns it", "start the relay"),
        (UNTOKENED, replace(WELL, link="", uplink=""), "no registration token", "set registration_token"),
        (replace(ENTRY, disabled=True), WELL, "disabled", "dayz-relay instance enable one"),
        (
            replace(ENTRY, shadowed=True, note="not served: two has it"),
            WELL,
            "not served: two",
            "instance remove one",
        ),
    ],
)
def test_what_keeps_it_down_is_named_with_what_mends_it(
    entry: Entry, facts: Facts, what: str, fix: str
) -> None:
    (problem,) = diagnose(entry, facts, URL)
    assert problem.serious and what in problem.what and fix in problem.fix


@pytest.mark.parametrize(
    ("contact_ms", "stranger_ms", "told", "serious"),
    [
        (None, NOW_MS - 5_000, True, True),
        (NOW_MS - 90_000, NOW_MS - 5_000, True, True),
        (NOW_MS - 20_000, NOW_MS - 5_000, True, False),  # so soon it may be another's
        (
            NOW_MS - 90_000,
            NOW_MS - 100_000,
            False,
            True,
        ),  # it was mended since
        (NOW_MS - 3_000, NOW_MS - 1_000, False, False),
    ],
)
def test_a_wrong_key_is_told_where_the_right_one_is_missed(
    contact_ms: int | None, stranger_ms: int, told: bool, serious: bool
) -> None:
    facts, stranger = replace(WELL, contact_ms=contact_ms), Stranger(stranger_ms, "10.0.0.9")
    found = diagnose(ENTRY, facts, URL, stranger)
    assert any("wrong mod key from 10.0.0.9" in problem.what for problem in found) is told
    assert any(problem.serious for problem in found) is serious


def test_what_takaro_said_is_told() -> None:
    said = "Takaro refuses this server (max game servers reached), the plan has no room for one more"
    (problem,) = diagnose(ENTRY, replace(WELL, link="refused", link_why=said), URL)
    assert problem.serious and problem.what == said


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (replace(WELL, dead=2), "2 events were put aside"),
        (replace(WELL, events=5, oldest_ms=NOW_MS - 70_000), "5 events wait for Takaro, the oldest for 70 s"),
        (replace(WELL, link="connecting"), "is being made"),
        (replace(WELL, link="paused"), "has lost this server"),
    ],
)
def test_what_does_not_keep_it_down_is_a_note(facts: Facts, what: str) -> None:
    (problem,) = diagnose(ENTRY, facts, URL)
    assert not problem.serious and what in problem.what and problem.fix


def test_the_worst_comes_first() -> None:
    found = diagnose(ENTRY, replace(WELL, dead=1, link="refused", contact_ms=None), URL)
    assert [problem.serious for problem in found] == [True, True, False]
