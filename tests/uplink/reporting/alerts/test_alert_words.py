"""Alerts as people and programs read them."""

import re
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.service.durations import exact
from services.uplink.reporting.alerts.conditions import Condition, Sighting, Transition
from services.uplink.reporting.alerts.words import MAX_LISTED, discord, escaped, generic, sentence

SEEN = Sighting(
    "A server", silent_s=200.0, unheard_s=200.0, link="waiting", events=1_234, fullness=0.1, oldest_s=400.0
)
SILENT = Transition("one", Condition.SILENT, True, 1_800_000_000.0, 1_800_000_200.0, SEEN)


@pytest.mark.parametrize(
    ("condition", "began", "words"),
    [
        (Condition.SILENT, True, "the game server is silent: nothing was heard of its mod for 3 min"),
        (Condition.SILENT, False, "the game server is back after 3 min"),
        (Condition.REFUSED, True, "Takaro refuses this server: the status page"),
        (Condition.REFUSED, False, "Takaro accepts this server again after 3 min"),
        (
            Condition.BACKLOG,
            True,
            "1,234 events wait for Takaro, the oldest for 6 min; the link is waiting",
        ),
        (Condition.BACKLOG, False, "the backlog is gone after 3 min"),
    ],
)
def test_each_transition_is_a_sentence(condition: Condition, began: bool, words: str) -> None:
    assert sentence(replace(SILENT, condition=condition, began=began)).startswith(words)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_one_or_two_units(seconds: float, said: str) -> None:
    assert exact(seconds) == said


HOSTILE = "@everyone <@1> **big** [x](https://evil.example) `code` \n# head ||spoiler|| \u202egnp"


def test_a_hostile_name_mentions_and_formats_nothing() -> None:
    body = discord([replace(SILENT, seen=replace(SEEN, name=HOSTILE))])
    assert body["allowed_mentions"] == {"parse": []}
    content = body["content"]
    assert len(content.splitlines()) == 1 and "\u202e" not in content
    inside = content[content.index("**") + 2 : content.rindex("**")]
    assert not re.search(r"(?<!\\)(?:\\\\)*[@<*\[`#|_~:]", inside)


@given(st.text())
def test_escaping_keeps_every_visible_character_and_escapes_every_mark(text: str) -> None:
    said = escaped(text)
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", said))
    letters = "".join(char for char in text if char.isalnum())
    assert "".join(char for char in said if char.isalnum()) == letters


KINDS = [(condition, began) for condition in Condition for began in (True, False)]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=1_500), st.text(min_size=3, max_size=50))
def test_any_number_of_transitions_fits_one_message_and_all_are_counted(
    kinds: list[tuple[Condition, bool]], name: str
) -> None:
    seen = replace(SEEN, name=name)
    transitions = [replace(SILENT, condition=condition, began=began, seen=seen) for condition, began in kinds]
    content = discord(transitions)["content"]
    assert len(content) <= 2_000
    *listed, last = content.split("\n")
    more = (
        1 if last[0] != "\u2026" else sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) more", last))
    )
    assert len(listed) + more == len(transitions)


def test_the_body_for_programs_has_one_row_for_each_transition() -> None:
    body = orjson.loads(orjson.dumps(generic([SILENT] * (MAX_LISTED + 5))))
    assert body["source"] == "dayz-relay" and body["more"] == 5 and len(body["alerts"]) == MAX_LISTED
    assert body["alerts"][0] == {
        "instance": "one",
        "name": "A server",
        "condition": "silent",
        "state": "began",
        "since": "2027-01-15T08:00:00Z",
        "at": "2027-01-15T08:03:20Z",
        "text": "the game server is silent: nothing was heard of its mod for 3 min",
    }
