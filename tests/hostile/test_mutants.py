"""What `make mutants` takes out is still there to be taken out."""

import pytest

from tests.hostile.mutate import FILES, MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_what_is_taken_out_stands_once_in_its_file(mutant: Mutant) -> None:
    assert (ROOT / FILES[mutant.file]).read_text().count(mutant.old) == 1
