"""docs/messages.md has what the code says, all of it and nothing else."""

import ast
import re
from pathlib import Path

from tests.docs.messages import SERVICES, texts
from tests.docs.pages import ROOT, rows

PAGE = ROOT / "docs" / "messages.md"

PUT_TOGETHER = {
    "this Idempotency-Key was used for another call: each call needs its own, and its repeats the same": (
        "modapi/admin/repeats.py"
    ),
    "…: … bytes behind its last whole record were cut off, as a power cut leaves them; they are kept in …": (
        "cli/append_only_files.py"
    ),
    "…: was torn or missing, and was written anew from the files beside it": "cli/append_only_files.py",
    "…: zeros at its end were cut off": "cli/append_only_files.py",
    "delivered, no result: it may have run": "relay/protocol/command_states.py",
    "…: no mod has ever contacted the relay for this server; check TakaroApiUrl in the mod's config.json": (
        "uplink/takaro/failures.py"
    ),
    "the mod has not contacted the relay for … s": "uplink/takaro/answers.py",
    "the relay's store is away: nothing is known of the mod": "uplink/takaro/answers.py",
    "the game server reports a failure and no reason": "modapi/dialect/results.py",
    "the game server's answer is too large: … bytes": "uplink/requests/handler.py",
    "…: is missing: every instance needs one": "relay/service/settings_names.py",
    "…: is missing, and …": "relay/service/settings_names.py",
    "…: others on this machine can read it (mode …), and it holds secrets: chmod 600 …": (
        "relay/service/settings_warnings.py"
    ),
    "…: its identity_token …. Whoever knows it and a registration token of your Takaro can speak there as"
    " this server. Takaro knows the server by it: with another one it sees a new server, so change it only if"
    " you want that": "relay/service/settings_warnings.py",
    "…: … has the same name. Takaro takes a name only once: unless it has both servers already, it refuses"
    " the second one until that has another name": "relay/service/settings_warnings.py",
    "not served: … has the same identity token": "relay/instances/definitions.py",
    "one of its mod keys opens … instead": "relay/instances/definitions.py",
    "an instance of this slug is stored in Redis too: relay.toml wins": "relay/instances/definitions.py",
    "its mod is not let in: with several instances each needs a mod key": "relay/instances/definitions.py",
    "no instance yet: add an [[instance]] block with slug, name and identity_token to relay.toml, or run"
    " `dayz-relay instance add`": "relay/service/settings.py",
    "Redis has …: …. Fix: …": "relay/store/durability.py",
    "Redis has version …: the relay needs … or newer, or Valkey": "relay/store/durability.py",
    "Redis: only … of … replicas are there: no event can be accepted": "relay/store/durability.py",
}
"""Texts that are made in one place and said in another, and where they are made."""

INTERNAL = {"no key"}
"""Not for people: what `report` keeps apart."""


def told() -> list[str]:
    found = []
    for cell, *_ in rows(PAGE)[1:]:
        if code := re.fullmatch(r"(`+)(.+)\1", cell):
            found.append(code[2].strip())
    return found


def test_every_warning_error_and_refusal_has_its_entry() -> None:
    missing = {text: where for text, where in texts().items() if text not in {*told(), *INTERNAL}}
    assert missing == {}, "write down in docs/messages.md what these mean"


def test_each_listed_message_exists_and_is_listed_once() -> None:
    assert set(told()) - texts().keys() == PUT_TOGETHER.keys()
    assert len(told()) == len(set(told()))


def test_composed_messages_are_still_made_in_their_file() -> None:
    for text, where in PUT_TOGETHER.items():
        made = "".join(literals(SERVICES / where))
        for part in filter(None, (part.strip(" .:'") for part in text.split("…"))):
            assert part in made, (text, where)


def literals(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_messages_are_found_in_the_source() -> None:
    assert len(texts()) > 80
    assert "… does not end, killing it" in texts()
