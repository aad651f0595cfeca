"""Which error frames are about our answers, and what is logged and counted of refused answers."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.relay.service.logs import InstanceLogger
from services.uplink.connection.socket_requests import KEPT, SocketRequests
from services.uplink.takaro.frames import ErrorFrame, Request


class Asked:
    """The requests of one socket, to which no answer is made."""

    def __init__(self) -> None:
        self.handler: Any = SimpleNamespace(mod_has_called=False, take=lambda writer, request: None)
        self.counted = Counter("refused", "", ["kind"], registry=CollectorRegistry())
        metrics: Any = SimpleNamespace(error_frames=self.counted)
        self.requests = SocketRequests(
            self.handler, metrics, InstanceLogger(logging.getLogger("test"), "one")
        )

    def ask(self, request_id: str, action: str) -> None:
        writer: Any = None
        self.requests.take(writer, Request(request_id, action, None))

    def refused(self, request_id: str) -> bool:
        return self.requests.refused(ErrorFrame("it must be an array", internal=False, request_id=request_id))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_a_request_is_known_by_its_id_and_any_other_id_is_not(asked: Asked) -> None:
    assert not asked.refused("a")
    asked.ask("a", "getPlayers")
    asked.ask("b", "")
    assert [asked.refused(one) for one in ("a", "b", "c", "")] == [True, True, False, False]


def test_the_oldest_requests_are_forgotten(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked.handler.mod_has_called = True
    for number in range(3 * KEPT + 5):
        asked.ask(f"request {number}", f"action {number}")
    known = [number for number in range(3 * KEPT + 5) if asked.refused(f"request {number}")]
    assert known == list(range(2 * KEPT + 5, 3 * KEPT + 5))
    assert f"the answer to action {known[0]}:" in caplog.messages[0] and len(caplog.messages) == KEPT


def test_the_name_of_an_action_is_cut(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked.handler.mod_has_called = True
    asked.ask("a", "x" * 10_000)
    assert asked.refused("a") and f"the answer to {'x' * 50}:" in caplog.text


def test_no_warning_before_the_mods_first_call_and_then_one_for_each_action(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    asked.ask("id", "listBans")
    assert asked.refused("id") and caplog.messages == []
    asked.handler.mod_has_called = True
    assert asked.refused("id") and asked.refused("id")
    assert len(caplog.messages) == 1 and "cannot use the answer to listBans" in caplog.text
    assert asked.counted.labels("answer")._value.get() == 3
