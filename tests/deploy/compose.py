"""docker-compose.yml as `docker compose` would read it, with the variables of one .env file put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.dockerfile import DOCKERFILE, fill, pairs, parse, words

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def put_in(value: Any, environ: Mapping[str, str]) -> Any:
    """Each ${NAME} and ${NAME:-default} in the texts of `value`, and $$ for $. A default may hold another."""

    def one(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        name, how, rest = match.group("name", "how", "rest")
        given = environ.get(name, "")
        assert how or name in environ, f"{name} has no default"
        return given or str(put_in(rest or "", environ))

    match value:
        case str():
            pattern = r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:-)(?P<rest>(?:[^{}]|\{[^}]*\})*))?\}|\$(?!\$)"
            return re.sub(pattern, one, value)
        case dict():
            return {key: put_in(part, environ) for key, part in value.items()}
        case list():
            return [put_in(part, environ) for part in value]
    return value


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """The whole file with its variables put in."""
    return dict(put_in(yaml.safe_load(TEXT), environ))


def image() -> tuple[dict[str, str], list[str], str]:
    """What the relay's image brings: its environment, its entrypoint, its user."""
    steps = parse(DOCKERFILE.read_text())
    environ: dict[str, str] = {}
    for step in steps:
        if step.name == "ENV":
            environ |= pairs(fill(step.text, environ))
    (entrypoint,) = [words(step.text) for step in steps if step.name == "ENTRYPOINT"]
    (user,) = [step.text for step in steps if step.name == "USER"]
    return environ, entrypoint, user


def is_ours(service: Mapping[str, Any]) -> bool:
    """Whether a service runs the relay's image."""
    return str(service["image"]).startswith(("dayz-relay", "${IMAGE"))
