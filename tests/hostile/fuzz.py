"""Coverage-guided fuzzing of the code that reads hostile text: `python -m tests.hostile.fuzz reader
-runs=100000`.

It starts from the corpus beside this file, and writes to build/fuzz. A text that breaks something is called
crash-…; add it to the corpus when the fault is mended.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from services.relay.protocol.vocabulary import Action

CORPUS = Path(__file__).parent / "corpus"
ACTIONS = list(Action)


def reader(data: bytes) -> None:
    """Reads a body, and maps its events up to Takaro's validation."""
    from tests.hostile import properties

    properties.events(data)


def flattener(data: bytes) -> None:
    """Flattens arguments: the first byte is the action, the rest is all arguments, or the text of each."""
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
    import atheris  # an extra, because it has no wheels for some versions of Python and some systems

    with atheris.instrument_imports(include=["services"]):
        from tests.hostile import properties  # noqa: F401
    found = Path("build/fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    # The first folder is written to; the corpus behind it is only read.
    atheris.Setup(
        [name, f"-artifact_prefix={found}/", *options, str(found), str(CORPUS / name)], TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
