"""The part of the fault suite that every change must pass: few cycles, a fixed seed."""

import pytest

from tests.faults import report
from tests.faults.registry import Scenario, scenarios
from tests.faults.run import play

SEED = 1

pytestmark = [pytest.mark.faults_short, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "scenario", [pytest.param(one, id=one.name) for one in scenarios() if one.short is not None]
)
async def test_the_promises_hold_despite_the_fault(scenario: Scenario) -> None:
    assert scenario.short is not None
    outcome = await play(scenario, cycles=scenario.short, seed=SEED)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert report.passed(scenario, outcome), report.summary(scenario, outcome)
