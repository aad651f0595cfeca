"""A Dockerfile as values: what `make image-test` carries out, and what tests look at.

Only what deploy/Dockerfile uses is understood; anything else is an error, so that no step is left out.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"

KNOWN = frozenset(
    {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "ENV", "LABEL", "EXPOSE", "USER", "HEALTHCHECK", "ENTRYPOINT"}
) | {"CMD"}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its name, and the rest of it on one line."""

    name: str
    text: str


def parse(text: str) -> list[Step]:
    """The instructions in order. Raises ValueError for one that is not known."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    steps = []
    for statement in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        name, _, rest = statement.strip().partition(" ")
        if name not in KNOWN:
            raise ValueError(f"what is {name}?")
        steps.append(Step(name, re.sub(r" +", " ", rest.strip())))
    return steps


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each ${NAME} replaced. Raises KeyError for a name without a value."""
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match.group(1)], text)


def pairs(text: str) -> dict[str, str]:
    """What ENV, LABEL and ARG say: names and values; an ARG without a default is empty."""
    return {name: value for name, _, value in (word.partition("=") for word in shlex.split(text))}


def words(text: str) -> list[str]:
    """What ENTRYPOINT, CMD and HEALTHCHECK run: a command as a list."""
    found = json.loads(text[text.index("[") :])
    assert all(isinstance(word, str) for word in found)
    return list(found)


def stages(steps: list[Step]) -> list[list[Step]]:
    """The steps from each FROM up to the next."""
    begins = [number for number, step in enumerate(steps) if step.name == "FROM"]
    return [steps[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)]
