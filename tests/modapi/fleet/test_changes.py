"""The numbered changes of servers."""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from services.modapi.fleet.rows import KEPT_REMOVALS, FleetChanges, ServerRow, ServerState
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.facts import Facts
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance

FACTS = Facts(1_000, "uplink-1", "ready", "", "", 900, 0, 0, None, 0, 0, 3, "", None)


def row(slug: str, **facts: Any) -> ServerRow:
    instance = Instance(slug=slug, name=f"Server {slug}", identity_token=SecretStr("identity-" + slug))
    return ServerRow(DefinedInstance(instance, Origin.REDIS, ()), replace(FACTS, **facts), [], ServerState.UP)


def update(changes: FleetChanges, *rows: ServerRow) -> None:
    by_slug = {row.slug: row for row in rows}
    changes.update(by_slug, by_slug)


def test_a_reader_gets_the_servers_that_changed_since_in_order_of_their_last_change() -> None:
    changes = FleetChanges()
    update(changes, row("a"), row("b"))
    assert changes.since(changes.number) == []
    update(changes, row("a", players=4), row("b"), row("c"))
    update(changes, row("a", players=4), row("b", dead=1), row("c"))
    assert changes.since(0) == [(1, "a"), (2, "c"), (3, "b")]
    update(changes, row("a", players=5), row("b", dead=1))
    assert changes.since(2) == [(3, "b"), (4, "a"), (5, "c")]
    assert changes.since(5) == [] and changes.since(6) is None


def test_a_clock_that_goes_on_is_no_change() -> None:
    changes = FleetChanges()
    update(changes, row("a", oldest_ms=500))
    update(changes, row("a", now_ms=2_000, contact_ms=1_900, oldest_ms=600))
    assert changes.number == 0


def test_a_server_that_could_not_be_read_is_not_removed() -> None:
    changes = FleetChanges()
    update(changes, row("a"), row("b"))
    changes.update({"a": row("a")}, {"a", "b"})
    assert changes.number == 0


def test_a_reader_that_may_have_missed_a_removal_gets_none_of_the_changes() -> None:
    changes = FleetChanges()
    update(changes, *(row(f"s{number}") for number in range(KEPT_REMOVALS + 1)))
    update(changes)
    assert changes.since(0) is None
    assert len(changes.since(1) or []) == KEPT_REMOVALS
