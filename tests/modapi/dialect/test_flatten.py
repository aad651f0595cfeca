"""The arguments every mod generation can read."""

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.flatten import FLATTENERS, flatten
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind

NOW_MS = 1_900_000_000_000  # 2030-03-17T17:46:40Z
ID = "76561198000000001"
WHO = f'{{"gameId":"{ID}"}}'


@pytest.mark.parametrize(
    ("action", "args", "text"),
    [
        (Action.GET_PLAYER, {"gameId": ID}, WHO),
        (Action.GET_PLAYER_LOCATION, {"gameId": ID}, WHO),
        (Action.GET_PLAYER_INVENTORY, {"gameId": ID}, WHO),
        (Action.UNBAN_PLAYER, {"gameId": ID}, WHO),
        (Action.SEND_MESSAGE, {"message": "hi"}, '{"channel":"global","message":"hi"}'),
        (
            Action.SEND_MESSAGE,
            {"message": "hi", "recipient": ID, "senderName": "Bot"},
            f'{{"gameId":"{ID}","recipientGameId":"{ID}","channel":"global","senderNameOverride":"Bot","message":"hi"}}',
        ),
        (Action.KICK_PLAYER, {"gameId": ID, "reason": "rude"}, f'{{"gameId":"{ID}","reason":"rude"}}'),
        (Action.KICK_PLAYER, {"gameId": ID}, f'{{"gameId":"{ID}","reason":""}}'),
        (
            Action.TELEPORT_PLAYER,
            {"gameId": ID, "x": 1, "y": 200.25, "z": -1e-7},
            f'{{"gameId":"{ID}","x":1.0,"y":200.25,"z":-0.0}}',
        ),
        (
            Action.GIVE_ITEM,
            {"gameId": ID, "item": "M4A1", "amount": 2, "quality": "high"},
            f'{{"gameId":"{ID}","item":"M4A1","amount":2,"quality":"high"}}',
        ),
        (
            Action.GIVE_ITEM,
            {"gameId": ID, "item": "M4A1", "amount": 10**12, "quality": None},
            f'{{"gameId":"{ID}","item":"M4A1","amount":2147483647,"quality":""}}',
        ),
        (Action.EXECUTE_CONSOLE_COMMAND, {"command": 'say "hi"'}, '{"command":"say \'hi\'"}'),
        (Action.GET_PLAYERS, {"gameId": ID}, "{}"),
        (Action.LIST_ITEMS, {}, "{}"),
        (Action.LIST_ENTITIES, {}, "{}"),
        (Action.LIST_LOCATIONS, {}, "{}"),
        (Action.LIST_BANS, {}, "{}"),
        (Action.SHUTDOWN, {}, "{}"),
    ],
)
def test_each_action_has_its_flat_form(action: Action, args: dict[str, Any], text: str) -> None:
    assert flatten(action, args, NOW_MS) == text


@pytest.mark.parametrize(
    ("expires_at", "seconds", "until"),
    [
        (None, 0, None),
        ("", 0, None),
        ("3021-01-01T00:00:00.000Z", 0, None),
        ("never", 0, None),
        ("2030-03-17T18:46:40.000Z", 3_600, "2030-03-17T18:46:40Z"),
        ("2030-03-17T18:46:40", 3_600, "2030-03-17T18:46:40Z"),
        ("2030-03-17T19:46:40+01:00", 3_600, "2030-03-17T18:46:40Z"),
        ("2020-01-01T00:00:00Z", 1, "2020-01-01T00:00:00Z"),
        ("2499-01-01T00:00:00Z", 2_147_483_647, "2499-01-01T00:00:00Z"),
        ("2500-01-01T00:00:00Z", 0, None),
        (1_900_003_600, 3_600, "2030-03-17T18:46:40Z"),
        ("2030-3-17T18:46:40Z", 3_600, "2030-03-17T18:46:40Z"),
    ],
)
def test_a_ban_ends_when_it_should_and_only_a_permanent_one_has_length_0(
    expires_at: Any, seconds: int, until: str | None
) -> None:
    args = {"gameId": ID, "reason": "rude", "expiresAt": expires_at}
    flat = orjson.loads(flatten(Action.BAN_PLAYER, args, NOW_MS))
    assert flat.pop("expiresAt", None) == until
    assert flat == {"gameId": ID, "durationSeconds": seconds, "reason": "rude"}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('say "hi"', "say 'hi'"),
        ("C:\\dayz", "C:/dayz"),
        ("a\nb\tc\x00d\x7fe", "a b c d e"),
        ("\u017elu\u0165ou\u010dk\u00fd \U0001f600", "\u017elu\u0165ou\u010dk\u00fd \U0001f600"),
        ("\ud800x", " x"),
    ],
)
def test_a_text_arrives_as_a_scanner_reads_it(text: str, sent: str) -> None:
    assert (
        flatten(Action.SEND_MESSAGE, {"message": text}, NOW_MS)
        == f'{{"channel":"global","message":"{sent}"}}'
    )


def test_only_the_long_text_of_a_command_is_cut_and_only_between_characters() -> None:
    args = {"gameId": ID, "reason": "\u20ac" * 1_000, "expiresAt": "2031-01-01T00:00:00Z"}
    text = flatten(Action.BAN_PLAYER, args, NOW_MS)
    assert 990 < len(text.encode()) < 1_000
    assert set(orjson.loads(text)["reason"]) == {"\u20ac"}
    assert orjson.loads(text)["gameId"] == ID


def test_every_action_that_the_mod_is_asked_has_a_flattener() -> None:
    asked = {action for action, kind in ACTION_KINDS.items() if kind is not ActionKind.OURS}
    assert set(FLATTENERS) == asked


def scanned(text: str, name: str) -> str | None:
    """As the newest mods read: the first such member, up to the next quote."""
    start = text.find(f'"{name}":"')
    if start < 0:
        return None
    start += len(name) + 4
    return text[start : text.index('"', start)]


ANYTHING = (
    st.text(max_size=300)
    | st.text("\\\"\n\u20ac'/{}:,", max_size=1_200)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.integers(), max_size=2)
)
ENDS = st.none() | st.integers(1_100_000_000, 16_000_000_000).map(
    lambda end_s: datetime.fromtimestamp(end_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
)
"""As uplink writes the end of a ban: it refuses what it cannot read."""
NAMES = [
    "gameId",
    "message",
    "recipient",
    "senderName",
    "reason",
    "x",
    "y",
    "z",
    "item",
    "amount",
]


@given(
    st.sampled_from(list(FLATTENERS)),
    st.dictionaries(st.sampled_from([*NAMES, "quality", "command"]), ANYTHING),
    ENDS,
    st.integers(0, 2**45),
)
def test_every_reader_finds_the_same_arguments(
    action: Action, args: dict[str, Any], end: str | None, now_ms: int
) -> None:
    text = flatten(action, args | {"expiresAt": end}, now_ms)
    assert len(text.encode()) < 1_000
    assert "\\" not in text
    assert not set(text) & set(map(chr, range(32)))
    for name, value in orjson.loads(text).items():
        if isinstance(value, str):
            assert scanned(text, name) == value
        else:
            assert math.isfinite(value)
            assert "e" not in text[text.index(f'"{name}":') + len(name) + 3 :].partition(",")[0].lower()
    assert '"gameId":' not in text or text.startswith('{"gameId":"')
