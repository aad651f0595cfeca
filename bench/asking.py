"""Takaro's requests: their frames, and what came of them."""

import time
import uuid
from collections.abc import Iterable
from typing import Any

import orjson

from bench import websocket
from services.sim.takaro.requests import encode_args, get_player

FOR_EVENT = "getPlayerLocation for an event"
"""Called an action of its own here."""

ANSWER_WITHIN_S = 10.0
"""Takaro ignores later answers (protocol.md T12)."""


def said(kind: str, payload: Any = None, request_id: str = "") -> bytes:
    return orjson.dumps({"type": kind, "payload": payload, "requestId": request_id or str(uuid.uuid4())})


def request(action: str, args: Any) -> tuple[str, bytes]:
    """A request's id, and its frame."""
    request_id = str(uuid.uuid4())
    payload = {"action": action, "args": encode_args(args)}
    return request_id, websocket.frame(said("request", payload, request_id))


def sync_requests(players: list[str]) -> tuple[dict[str, str], bytes]:
    """The 3 + 2P requests of one sync: the action by request id, and all frames."""
    asked: list[tuple[str, Any]] = [("testReachability", None), ("getPlayers", None), ("getPlayers", None)]
    for action in ("getPlayerInventory", "getPlayerLocation"):
        asked += [(action, get_player(game_id)) for game_id in players]
    made = [(action, *request(action, args)) for action, args in asked]
    return {request_id: action for action, request_id, _ in made}, b"".join(frame for _, _, frame in made)


class Asked:
    """The requests of a measurement, and when each was sent (ns, CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self.actions: dict[str, str] = {}
        self.sent_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.sent_ns)

    def add(self, actions: dict[str, str]) -> None:
        """These requests are written now."""
        self.actions |= actions
        self.sent_ns |= dict.fromkeys(actions, time.monotonic_ns())

    def report(self, responses: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
        """Latencies (s) in all and by action, the answers in time, and the errors by action and text.

        `responses` are times and masked payloads of frames. Each answer counts once.
        """
        took_s: dict[str, float] = {}
        took_s_by_action: dict[str, list[float]] = {}
        errors: dict[str, int] = {}
        for now_ns, masked in responses:
            frame = orjson.loads(websocket.unmask(masked))
            request_id, payload = frame["requestId"], frame["payload"]
            if request_id in self.sent_ns and request_id not in took_s:
                took_s[request_id] = (now_ns - self.sent_ns[request_id]) / 1e9
                took_s_by_action.setdefault(self.actions[request_id], []).append(took_s[request_id])
                if isinstance(payload, dict) and payload.get("error"):
                    text = f"{self.actions[request_id]}: {payload['error']}"
                    errors[text] = errors.get(text, 0) + 1
        in_time = sum(one <= ANSWER_WITHIN_S for one in took_s.values())
        return {
            "asked": len(self),
            "answered": in_time,
            "took_s": list(took_s.values()),
            "took_s_by_action": took_s_by_action,
            "errors": errors,
        }
