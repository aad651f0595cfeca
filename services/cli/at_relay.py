"""The common part of commands that use the admin API of a relay."""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from services.cli.options import DATA, RELAY_TOML, AsJson, Config, Data, known_contexts, with_variable
from services.cli.place import Given, find
from services.cli.terminal import complain, print_json
from services.relay.protocol.errors import RelayError

if TYPE_CHECKING:
    from services.cli.api import RelayApi as RelayApi
    from services.cli.tables import Part
else:
    RelayApi = Part = Any  # `--help` and completion do not wait for them


def _text(*words: str, **more: Any) -> Any:
    return Annotated[str | None, with_variable(*words, **more)]


_NAMED = "A relay that `context add` has named; local: the one of relay.toml."
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "url": (_text("--url", "URL", "The admin port of a relay, here or elsewhere."), None),
    "token": (_text("--token", "TOKEN", "For its admin API; others can see it."), None),
    "token_file": (_text("--token-file", "FILE", "The token; - is standard input."), None),
    "context": (_text("--context", "NAME", _NAMED, autocompletion=known_contexts), None),
    "config": (Config, RELAY_TOML),
    "data": (Data, DATA),
}
LOCATING = frozenset(f"--{name.replace('_', '-')}" for name in _OPTIONS)
"""The options that say where a relay is."""

SLUGS_WITHIN_S = 2.0  # time limit of completion: a person waits for it between two key presses


class Output:
    """The output of a command: `answer` for --json, `parts` for people, below each other.

    For people, `note` goes to standard error as it is, and `trouble` as an error.
    """

    def __init__(self, answer: Any, *parts: Part, note: str = "", trouble: str = "", code: int = 0) -> None:
        self.answer = answer
        self.parts = parts
        self.note = note
        self.trouble = trouble
        self.code = code


Result = TypeVar("Result")
Command = Callable[..., Awaitable[Output | int]]


def at_relay(app: typer.Typer, name: str | None = None, **more: Any) -> Callable[[Command], Any]:
    """Add a command that works at a relay. `more` is for Typer.

    It gets the options above and --json, and is called with the API of that relay as first argument.
    It returns its Output, or its exit code if it has printed everything. It may have `as_json` itself.
    """
    return lambda command: app.command(name, **more)(_with_options(command))


def _with_options(command: Command) -> Callable[..., int]:
    signature = inspect.signature(command)
    _, *ours = signature.parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    has_json = "as_json" in signature.parameters
    added = _OPTIONS if has_json else {"as_json": (AsJson, False), **_OPTIONS}
    options = [
        inspect.Parameter(name, keyword, annotation=kind, default=default)
        for name, (kind, default) in added.items()
    ]
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)

    @wraps(command)
    def run(ctx: typer.Context, **given: Any) -> int:
        import asyncio

        own = {name: given[name] for name in given.keys() - added}
        output = asyncio.run(_run(command, _given_in(ctx), own))
        return emit(output, as_json=given["as_json"]) if isinstance(output, Output) else output

    parameters = [context, *(one.replace(kind=keyword) for one in ours), *options]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _given_in(ctx: typer.Context) -> Given:
    """The relay that the options name. A typed option beats every variable."""
    sources = {name: ctx.get_parameter_source(name) for name in _OPTIONS}
    typed = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    named = {name: ctx.params.get(name) or default for name, (_, default) in _OPTIONS.items()}
    local = bool(typed & {"config", "data"})
    if "url" not in typed and (local or "context" in typed):
        # The token of the variables is only for the relay of the variables.
        named |= {name: None for name in ("url", "token", "token_file") if name not in typed}
    if "context" not in typed and local:
        named["context"] = None
    return Given(**named, is_local=local)


def emit(output: Output, *, as_json: bool) -> int:
    """Print it; the exit code. Warnings in an answer go to standard error, but not with --json."""
    if as_json:
        print_json(output.answer)
        return output.code
    for warning in output.answer.get("warnings", ()) if isinstance(output.answer, dict) else ():
        complain(f"warning: {warning}")
    for part in output.parts:
        if isinstance(part, str):
            print(part)
        else:
            from services.cli.tables import show

            show(part)
    if output.note:
        typer.echo(output.note, err=True)
    complain(output.trouble)
    return output.code


def slugs(ctx: typer.Context) -> list[str]:
    """The slugs of all servers; those of relay.toml where no relay answers. Raises RelayError."""
    import asyncio

    from services.cli.settings_of import loaded_from

    async def ask(relay: RelayApi) -> list[str]:
        return [one["slug"] for one in await relay.servers()]

    given = _given_in(ctx)
    try:
        return asyncio.run(asyncio.wait_for(_run(ask, given, {}), SLUGS_WITHIN_S))
    except (RelayError, TimeoutError):
        if given.url or given.context:
            raise RelayError from None
        return [instance.slug for instance in loaded_from(given.config).settings.instances]


async def _run(command: Callable[..., Awaitable[Result]], where: Given, given: dict[str, Any]) -> Result:
    from services.cli.api import opened_api

    async with opened_api(await find(where)) as relay:
        return await command(relay, **given)
