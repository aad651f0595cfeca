"""The page of results has what was counted. A scenario replaces only its own row."""

from tests.faults import report
from tests.faults.registry import Scenario, scenarios
from tests.faults.shape import Outcome
from tests.faults.world import Run


async def _nothing(run: Run) -> None:
    """No fault at all."""


PLAIN = Scenario("F4", "kill one uplink", _nothing, recovery_s=7.0)
CONTROL = Scenario("N1", "negative control", _nothing, breaks="C")


def test_a_scenario_passes_when_nothing_is_broken() -> None:
    assert report.passed(PLAIN, Outcome(recoveries=[5.0, 6.0]))
    assert not report.passed(PLAIN, Outcome(complaints=["C: s1 2 was accepted and is lost"]))
    assert not report.passed(PLAIN, Outcome(recoveries=[5.0, 7.5]))


def test_a_negative_control_passes_only_when_it_turns_red_where_it_should() -> None:
    assert not report.passed(CONTROL, Outcome())
    assert not report.passed(CONTROL, Outcome(complaints=["L: uplink: a traceback"]))
    assert report.passed(CONTROL, Outcome(complaints=["C: s1 2 was accepted and is lost"]))


def test_a_skipped_scenario_passes_and_says_why() -> None:
    outcome = Outcome(skipped="strace is not installed")
    assert report.passed(CONTROL, outcome)
    assert "skipped: strace is not installed" in report.row(CONTROL, outcome, 1, 1, "2026-01-01")


def test_a_row_is_replaced_in_place_and_kills_are_added_up() -> None:
    def row(name: str, kills: int, date: str) -> str:
        outcome = Outcome()
        outcome.kills["uplink"] = kills
        return report.row(Scenario(name, "a | b", _nothing), outcome, 3, 1, date)

    page = report.renewed("", row("F10", 3, "first"), "a machine")
    page = report.renewed(page, row("F4", 5, "first"), "a machine")
    page = report.renewed(page, row("F10", 4, "second"), "a machine")
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in rows] == ["F4", "F10"]
    assert "second" in rows[1] and "first" not in rows[1]
    assert "Kills in all: 0 of modapi, 9 of uplink, 0 of Redis or Valkey." in page


def test_a_run_with_another_seed_does_not_replace_a_failed_one() -> None:
    def row(seed: int, outcome: Outcome) -> str:
        return report.row(PLAIN, outcome, 3, seed, "2026-01-01")

    page = report.renewed("", row(2, Outcome(recoveries=[8.0])), "a machine")
    page = report.renewed(page, row(1, Outcome()), "a machine")
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert ["failed" in line for line in rows] == [False, True]
    page = report.renewed(page, row(2, Outcome()), "a machine")
    assert "failed" not in page


def test_every_scenario_has_its_own_name_and_a_description() -> None:
    known = scenarios()
    assert len({scenario.name for scenario in known}) == len(known)
    assert all(scenario.about and "|" not in scenario.about for scenario in known)
