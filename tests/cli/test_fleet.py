"""The table of all instances: the words of the page, in the room that a terminal has."""

import re
from dataclasses import replace

import pytest

from services.cli.status import Server, overview
from services.modapi.admin.views import fleet_of, server_of
from services.modapi.fleet.rows import ServerRow, state_of
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.diagnosis import Problem, ProblemCode
from services.relay.instances.facts import Facts
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance
from tests.support.facts import NOW_MS, UP
from tests.support.shown import shown

FACTS = replace(UP, uplink="host-1234", contact_ms=NOW_MS - 10_000, players=7)
DOWN = Problem(ProblemCode.SILENT, True, "it is away", "look")
NOTE = Problem(ProblemCode.SILENT, False, "it is slow", "wait")


def row(slug: str, *problems: Problem, facts: Facts = FACTS, disabled: bool = False) -> ServerRow:
    name = f"The server {slug}, first person, Chernarus"
    instance = Instance.model_validate({"slug": slug, "name": name, "identity_token": f"identity {slug}"})
    return ServerRow(
        DefinedInstance(instance, Origin.FILE, (), disabled),
        facts,
        list(problems),
        state_of(disabled, problems),
    )


def said(*rows: ServerRow, columns: int = 1_000, most: int | None = None) -> list[str]:
    servers: list[Server] = [server_of(one).model_dump(mode="json") for one in rows]
    fleet = fleet_of(rows, []).model_dump(mode="json")
    return shown(*overview(servers, fleet, columns, most), columns=columns)


def test_the_states_and_the_words_are_those_of_the_page() -> None:
    rows = (row("a"), row("b", NOTE), row("c", DOWN, NOTE), row("d", disabled=True))
    head, _, titles, *told, hint = said(*rows)
    assert hint == "`dayz-relay status SLUG` says what is wrong and how to fix it"
    assert head == "1 up, 1 attention, 1 down, 1 disabled; 28 players"
    assert [line.split()[0] for line in told] == ["up", "attention", "down", "disabled"]
    assert titles.split() == [
        *("STATE", "SLUG", "NAME", "GAME", "SERVER", "TAKARO", "PLAYERS", "WAITING", "DEAD", "UPLINK")
    ]
    assert "linked" in told[0] and "10 s ago" in told[0] and told[0].endswith("host-1234")


def test_an_unknown_number_is_shown_as_unknown_and_not_as_zero() -> None:
    head, _, _, told = said(row("a", facts=replace(FACTS, players=None, contact_ms=None, uplink="")))
    assert head == "1 up; ? players"
    assert re.search(r" never +no link +\? +0 +0 +nobody$", told)


def test_numbers_are_aligned_to_the_right_of_their_heads() -> None:
    titles, few, many = said(row("a"), row("b", facts=replace(FACTS, players=60, dead=1_000)))[2:]
    assert few[: titles.index("PLAYERS") + 7].endswith(" 7") and many[: titles.index("DEAD") + 4].endswith(
        "1000"
    )


@pytest.mark.parametrize("columns", [60, 80, 90, 100, 200])
def test_names_are_left_out_where_columns_do_not_fit(columns: int) -> None:
    told = said(row("chernarus"), row("livonia", NOTE), columns=columns)[2:]
    assert max(map(len, told)) <= columns
    assert columns < 80 or all(line.endswith("host-1234") for line in told[1:3])
    assert ("NAME" in told[0]) is (columns > 80)


def test_more_servers_than_lines_are_counted() -> None:
    told = said(*(row(f"s{n}") for n in range(1_500)), most=20)
    assert len(told) == 20 and told[-1] == "and 1,484 more: `dayz-relay status | less`"
    told = said(row("s", DOWN), *(row(f"s{n}") for n in range(1_499)), most=20)
    assert len(told) == 20 and told[-2] == "and 1,485 more: `dayz-relay status | less`"
