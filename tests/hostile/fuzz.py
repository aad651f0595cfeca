"""Coverage-guided fuzzing of what reads hostile text: `python -m tests.hostile.fuzz reader -runs=100000`.

It starts from the corpus beside this file. What it finds is in build/fuzz: a text that breaks something is
called crash-…, and belongs into the corpus once that is mended.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from services.relay.protocol.vocabulary import Action

CORPUS = Path(__file__).parent / "corpus"
ACTIONS = list(Action)


def reader(data: bytes) -> None:
    """The mending reader, and all that follows up to Takaro's validation."""
    from tests.hostile import properties

    properties.events(data)


def flattener(data: bytes) -> None:
    """The first byte is the action, the rest its arguments as Takaro sends them, or any text for all."""
    from tests.hostile import properties

    action = ACTIONS[data[0] % len(ACTIONS)] if data else ACTIONS[0]
    text = data[1:].decode("utf-8", "replace")
    properties.arguments(action, text)
    ours = {"gameId": "76561198000000001", "x": 1, "y": 2.5, "z": -3, "message": text, "reason": text}
    properties.arguments(
        action, {**ours, "command": text, "item": text[:100], "quality": text, "expiresAt": text}
    )


TARGETS: dict[str, Callable[[bytes], None]] = {"reader": reader, "flattener": flattener}


def main(name: str, options: list[str]) -> None:
    import atheris  # an extra of its own: it has no wheels for every Python and system

    with atheris.instrument_imports(include=["services"]):
        from tests.hostile import properties  # noqa: F401
    found = Path("build/fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    # Behind the folder that it may write to: the corpus is only read.
    atheris.Setup(
        [name, f"-artifact_prefix={found}/", *options, str(found), str(CORPUS / name)], TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
