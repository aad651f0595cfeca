"""`dayz-relay dlq …`, on dead letters that a test has put aside."""

import json
import os
import pty
import re
import subprocess

import pytest

from services.relay.protocol.records import DEAD_EVENT_BYTES, DeadEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from tests.cli.conftest import RelayTerminal


async def one_has_dead_letters(store: Store) -> None:
    whole, cut = b'{"type":"no-such-event"}', b'{"type":"log","msg":"' + b"x" * 20_000
    slots = [
        PostedEvent(digest(raw), DeadEvent("unknown-type", "a detail", raw[:DEAD_EVENT_BYTES]))
        for raw in (whole, cut)
    ]
    await EventStream(store, "one").append(EventBatch(slots))


def test_dead_letters_are_counted_for_all_servers_and_listed_for_one(relay: RelayTerminal) -> None:
    assert relay.run("dlq", "list") == "No server has dead letters.\n"
    relay.fill(one_has_dead_letters)
    assert [line.split() for line in relay.run("dlq", "list").splitlines()] == [
        ["SLUG", "DEAD"],
        ["one", "2"],
    ]
    assert json.loads(relay.run("dlq", "list", "--json")) == {"one": 2}
    told = json.loads(relay.run("dlq", "list", "one", "--json"))
    assert [letter["no_retry"] for letter in told] == ["only its first 2000 bytes were kept", None]
    assert re.search(r"\d\d:\d\d:\d\d [A-Z+-]", relay.run("dlq", "list", "one"))
    assert re.search(r"\d\d:\d\d:\d\d [A-Z+-]", relay.run("dlq", "show", "one", told[1]["id"]))


def test_a_command_for_a_missing_dead_letter_says_that_there_is_none(relay: RelayTerminal) -> None:
    for action in ("show", "retry", "drop"):
        said = relay.run("dlq", action, "one", "abc", code=2)
        assert "'abc' is no id of a dead letter" in said
        said = relay.run("dlq", action, "one", "1-0", code=1)
        assert said.startswith("dayz-relay: there is no dead letter 1-0: it was retried or dropped")
    assert "one has no dead letter that" in relay.run("dlq", "retry", "one", "--all")
    assert relay.run("dlq", "drop", "one", "--all", "--yes") == "0 dropped\n"


def test_a_script_deletes_all_dead_letters_only_with_yes(relay: RelayTerminal) -> None:
    relay.fill(one_has_dead_letters)
    said = relay.run("dlq", "drop", "one", "--all", code=2)
    assert said.startswith("dayz-relay: nothing was deleted") and "add --yes" in said
    assert json.loads(relay.run("dlq", "list", "--json")) == {"one": 2}
    assert relay.run("dlq", "drop", "one", "--all", "--yes") == "2 dropped\n"


def test_a_retry_of_all_takes_in_what_it_can_and_counts_the_rest(relay: RelayTerminal) -> None:
    relay.fill(one_has_dead_letters)
    said = relay.run("dlq", "retry", "one", "--all", code=1)
    assert said.startswith("1 could not be repaired this time either\n")
    assert said.endswith("1 cannot be retried: `dayz-relay dlq show` says why.\n")


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"\n", 1), (b"\x04", 1), (b"yes\n", 0)])
def test_a_person_who_confirms_deletes_all_dead_letters(
    relay: RelayTerminal, answer: bytes, code: int
) -> None:
    relay.fill(one_has_dead_letters)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        relay.argv("dlq", "drop", "one", "--all"),
        cwd=relay.folder,
        env=relay.environ,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    os.write(ours, answer)
    out, said = process.communicate(timeout=60)
    os.close(ours)
    assert b"Delete all dead letters of one" in said and b"Traceback" not in said
    assert process.returncode == code
    # Standard output may be a file, or JSON for a program.
    assert out == (b"2 dropped\n" if code == 0 else b"") and (b"nothing was deleted" in said) is (code == 1)
