"""Every event and every action has all the code it needs, a metric, and its row in the documentation."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from docs import generate
from services.modapi import metrics as modapi_metrics
from services.modapi.dialect.events import EVENT_MAPPERS
from services.modapi.dialect.flatten import FLATTENERS
from services.modapi.dialect.results import RESULT_MAPPERS
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind, EventType
from services.uplink.reporting import metrics as uplink_metrics
from services.uplink.takaro.answer_rules import ANSWER_RULES
from services.uplink.takaro.answers import OWN_ANSWERS
from services.uplink.takaro.requests import ARGUMENTS

PAGE = generate.PAGE.read_text()


@pytest.fixture(scope="module")
def shown() -> str:
    """What Prometheus finds on services that have just started."""
    modapi, uplink = CollectorRegistry(), CollectorRegistry()
    modapi_metrics.ModapiMetrics(modapi)
    uplink_metrics.UplinkMetrics(uplink)
    return (generate_latest(modapi) + generate_latest(uplink)).decode()


@pytest.mark.parametrize("event", EventType)
def test_every_event_is_mapped_counted_and_documented(event: EventType, shown: str) -> None:
    assert event in EVENT_MAPPERS
    assert f'dayz_relay_events_accepted_total{{type="{event}"}}' in shown
    assert f'dayz_relay_events_delivered_total{{type="{event}"}}' in shown
    assert f"| `{event}` |" in PAGE


@pytest.mark.parametrize("action", Action)
def test_every_action_is_read_written_answered_counted_and_documented(action: Action, shown: str) -> None:
    assert all(action in table for table in (ACTION_KINDS, ARGUMENTS, ANSWER_RULES))
    if ACTION_KINDS[action] is ActionKind.OURS:
        assert action in OWN_ANSWERS or action is Action.TEST_REACHABILITY
    else:
        assert action in FLATTENERS and action in RESULT_MAPPERS
    assert f'dayz_relay_requests_total{{action="{action}",outcome="answered"}}' in shown
    assert f'dayz_relay_commands_handed_total{{action="{action}"}}' in shown
    assert f"| `{action}` |" in PAGE


def test_the_generated_parts_of_the_architecture_page_are_up_to_date() -> None:
    assert generate.written(PAGE) == PAGE, "run `make docs`"
