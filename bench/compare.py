"""Two trees measured by turns: medians and their ratio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

TURNS = 2

_LINE = "{:<58}  {:>9}  {:>9}  {:>6}  {}"


def table(turns: Sequence[tuple[Path | None, Mapping[str, float]]]) -> str:
    """`turns`: the numbers of each run, with the tree that ran; None is this tree."""
    lines = [_LINE.format("median of", "this tree", "other", "ratio", "runs of this tree; of the other")]
    for name in turns[0][1]:
        ours = [numbers[name] for tree, numbers in turns if tree is None and name in numbers]
        theirs = [numbers[name] for tree, numbers in turns if tree is not None and name in numbers]
        if not ours or not theirs:
            continue
        ratio = median(ours) / median(theirs) if median(theirs) else float("nan")
        runs = "; ".join(", ".join(f"{value:.1f}" for value in some) for some in (ours, theirs))
        lines.append(_LINE.format(name, f"{median(ours):.1f}", f"{median(theirs):.1f}", f"{ratio:.2f}", runs))
    return "\n".join(lines)
