"""The errors that Takaro gets for a request without a result."""

import pytest

from services.relay.protocol.ends import CommandEnd
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure

CASES = [
    (
        failures.not_delivered(34.4),
        CommandEnd.NOT_DELIVERED,
        "not delivered: the server has not polled for 34 s",
    ),
    (
        failures.not_delivered(1.0),
        CommandEnd.NOT_DELIVERED,
        "not delivered: the server did not fetch it in time",
    ),
    (
        failures.not_delivered(None),
        CommandEnd.NEVER_SEEN,
        "not delivered: no mod has ever contacted the relay",
    ),
    (failures.NO_RESULT, CommandEnd.NO_RESULT, "delivered, no result: it may have run"),
    (failures.NO_ANSWER, CommandEnd.NO_RESULT, "the game server has not answered in time"),
    (failures.QUEUE_FULL, CommandEnd.QUEUE_FULL, "not delivered: too many commands wait"),
    (failures.STORE_AWAY, CommandEnd.STORE_AWAY, "the relay's store is away"),
    (failures.store_refused("Redis is full"), CommandEnd.STORE_REFUSED, "not delivered: Redis is full"),
    (failures.RELAY_STOPS, CommandEnd.NOT_DELIVERED, "not delivered: the relay stops"),
    (failures.CUT_SHORT, CommandEnd.NO_RESULT, "the relay ends before it knows the result: it may have run"),
    (failures.FAULT, CommandEnd.FAULT, "the relay failed by a fault of its own: it may have run"),
]


@pytest.mark.parametrize(("failure", "cause", "text"), CASES)
def test_each_failure_has_its_text_and_its_cause(
    failure: CommandFailure, cause: CommandEnd, text: str
) -> None:
    assert failure.cause is cause
    assert failure.error.startswith(text)


def test_every_cause_has_a_text() -> None:
    of_the_mod = {CommandEnd.REFUSED, CommandEnd.ANSWERED}
    assert {cause for _, cause, _ in CASES} == set(CommandEnd) - of_the_mod


def test_only_commands_that_surely_did_not_run_are_called_not_delivered() -> None:
    unsure = {CommandEnd.NO_RESULT, CommandEnd.STORE_AWAY, CommandEnd.FAULT}
    for failure, cause, _ in CASES:
        assert failure.error.startswith("not delivered") is (cause not in unsure)
