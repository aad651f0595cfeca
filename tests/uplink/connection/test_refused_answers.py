"""Which error frames are about our answers, and what is logged and counted of refused answers."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.relay.protocol.limits import DEFAULT_LIMITS
from services.uplink.connection.takaro_socket import REMEMBERED as KEPT
from services.uplink.connection.takaro_socket import TakaroSocket
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.handler import MAX_REFUSED_ACTIONS, RequestHandler
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.takaro.frames import Request


class Asked:
    """The requests of one socket, to which no answer is made."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = UplinkMetrics(self.registry)
        metrics.instances.row("one")
        self.contact = SimpleNamespace(silent_s=None)
        lease = SimpleNamespace(slug="one")
        queue: Any = SimpleNamespace(lease=lease, contact=self.contact, metrics=metrics)
        nothing: Any = None
        self.handler = RequestHandler(queue, nothing, Mirror(), DEFAULT_LIMITS.frame_out_bytes)
        self.socket = TakaroSocket(nothing)

    def mod_calls(self) -> None:
        self.contact.silent_s = 0.0

    def ask(self, request_id: str, action: str) -> None:
        self.socket.asked(Request(request_id, action, None))

    def refused(self, request_id: str) -> bool:
        action = self.socket.asked_action(request_id)
        if action is not None:
            self.handler.refused(action, "it must be an array")
        return action is not None


@pytest.fixture
async def asked() -> Asked:
    return Asked()


async def test_a_request_is_known_by_its_id_and_any_other_id_is_not(asked: Asked) -> None:
    assert not asked.refused("a")
    asked.ask("a", "getPlayers")
    asked.ask("b", "")
    assert [asked.refused(one) for one in ("a", "b", "c", "")] == [True, True, False, False]


async def test_the_oldest_requests_are_forgotten(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked.mod_calls()
    for number in range(3 * KEPT + 5):
        asked.ask(f"request {number}", f"action {number}")
    known = [number for number in range(3 * KEPT + 5) if asked.refused(f"request {number}")]
    assert known == list(range(2 * KEPT + 5, 3 * KEPT + 5))
    assert f"the answer to action {known[0]}:" in caplog.messages[0]
    assert len(caplog.messages) == MAX_REFUSED_ACTIONS


async def test_the_name_of_an_action_is_cut(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked.mod_calls()
    asked.ask("a", "x" * 10_000)
    assert asked.refused("a") and f"the answer to {'x' * 50}:" in caplog.text


async def test_no_warning_before_the_mods_first_call_and_then_one_for_each_action(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    asked.ask("id", "listBans")
    assert asked.refused("id") and caplog.messages == []
    asked.mod_calls()
    assert asked.refused("id") and asked.refused("id")
    assert len(caplog.messages) == 1 and "cannot use the answer to listBans" in caplog.text
    assert asked.registry.get_sample_value("dayz_relay_takaro_errors_total", {"kind": "answer"}) == 3
