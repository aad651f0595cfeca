"""The text that `make mutants` replaces exists, and so does the statement that must fail then."""

import pytest

from tests.hostile.mutate import FILES, MUTANTS, ROOT, TESTS, Mutant, Seen, seen

REPORT = """
tests/modapi/http/test_router.py:10: in test_it
    assert status == 413
E   {error}
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_the_replaced_text_is_once_in_its_file(mutant: Mutant) -> None:
    assert (ROOT / FILES[mutant.file]).read_text().count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_the_failing_statement_is_in_its_test(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    _, found, after = (ROOT / TESTS[file]).read_text().partition(f"def {name}(")
    assert found and mutant.breaks in after.partition("\ndef test_")[0].partition("\nasync def test_")[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("AssertionError: assert 200 == 413", Seen.RED),
        ("assert 200 == 413", Seen.RED),
        ("TimeoutError", Seen.RED),  # an awaited condition did not become true
        ("AttributeError: 'Wire' object has no attribute '_url'", Seen.FAULTY),
        ("DeprecationWarning: ssl.TLSVersion.TLSv1 is deprecated", Seen.FAULTY),
    ],
)
def test_a_change_that_breaks_the_program_is_no_proof(error: str, expected: Seen) -> None:
    assert seen(REPORT.format(error=error), "status == 413") is expected


def test_only_a_failure_of_the_named_statement_counts() -> None:
    assert seen(REPORT.format(error="assert 200 == 413"), "status == 401") is Seen.ELSEWHERE
    assert seen("", "status == 413") is Seen.UNSEEN
