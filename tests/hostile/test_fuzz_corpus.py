"""The checks of the fuzzer are true for its corpus, which includes what it has found."""

from pathlib import Path

import pytest

from tests.hostile.fuzz import CORPUS, TARGETS

FILES = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


def test_both_targets_have_a_corpus() -> None:
    assert {name for name, _ in FILES} == set(TARGETS) and len(FILES) > 20


@pytest.mark.parametrize(
    ("target", "path"), FILES, ids=[f"{path.parent.name}/{path.name}" for _, path in FILES]
)
def test_a_text_of_the_corpus_is_read(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())
