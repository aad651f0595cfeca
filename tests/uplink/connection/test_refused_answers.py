"""What is logged and counted of the answers that Takaro refuses."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.relay.service.logs import InstanceLogger
from services.uplink.connection.socket_requests import SocketRequests
from services.uplink.takaro.frames import ErrorFrame, Request


def test_no_warning_before_the_mods_first_call_and_then_one_for_each_action(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler: Any = SimpleNamespace(mod_has_called=False, take=lambda writer, request: None)
    counted = Counter("refused", "", ["kind"], registry=CollectorRegistry())
    metrics: Any = SimpleNamespace(error_frames=counted)
    requests = SocketRequests(handler, metrics, InstanceLogger(logging.getLogger("test"), "one"))
    writer: Any = None
    requests.take(writer, Request("id", "listBans", None))
    error = ErrorFrame("listBans must be an array", internal=False, request_id="id")
    assert requests.refused(error) and caplog.messages == []
    handler.mod_has_called = True
    assert requests.refused(error) and requests.refused(error)
    assert len(caplog.messages) == 1 and "cannot use the answer to listBans" in caplog.text
    assert counted.labels("answer")._value.get() == 3
