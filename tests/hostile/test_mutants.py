"""What `make mutants` takes out is still there to be taken out, and the statement that must fail then too."""

import pytest

from tests.hostile.mutate import FILES, MUTANTS, ROOT, TESTS, Mutant, Seen, seen

REPORT = """
tests/modapi/http/test_router.py:10: in test_it
    assert status == 413
E   {error}
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_what_is_taken_out_stands_once_in_its_file(mutant: Mutant) -> None:
    assert (ROOT / FILES[mutant.file]).read_text().count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_the_statement_that_fails_then_is_in_the_test(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    _, found, after = (ROOT / TESTS[file]).read_text().partition(f"def {name}(")
    assert found and mutant.breaks in after.partition("\ndef test_")[0].partition("\nasync def test_")[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("AssertionError: assert 200 == 413", Seen.RED),
        ("assert 200 == 413", Seen.RED),
        ("TimeoutError", Seen.RED),  # what was to come did not
        ("AttributeError: 'Wire' object has no attribute '_url'", Seen.FAULTY),
        ("DeprecationWarning: ssl.TLSVersion.TLSv1 is deprecated", Seen.FAULTY),
    ],
)
def test_a_fault_of_the_change_itself_is_no_proof(error: str, expected: Seen) -> None:
    assert seen(REPORT.format(error=error), "status == 413") is expected


def test_only_the_named_statement_proves_it() -> None:
    assert seen(REPORT.format(error="assert 200 == 413"), "status == 401") is Seen.ELSEWHERE
    assert seen("", "status == 413") is Seen.UNSEEN
