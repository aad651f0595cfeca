"""The `dayz-relay` command, and the exit codes that it ends with.

0 is a clean end, 2 a wrong setting or a wrong command line (standard error says which), 1 anything else.
What a command needs is imported when it runs, so that `--help` and completion do not wait for it.
"""

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from services.cli.commands import run, servers, show, trial
from services.cli.options import CommandGroup
from services.cli.terminal import NAME, complain, failed
from services.relay.protocol.errors import ConfigError, RelayError, in_our_words
from services.relay.service import logs

INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    name=NAME,
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
help_app = typer.Typer()
for part in (run.app, show.app, servers.app, trial.app, help_app):
    app.add_typer(part)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(NAME, version(NAME))
        raise typer.Exit


@app.callback()
def _whole(
    _: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """The relay between DayZ servers and Takaro."""


@help_app.command("version", rich_help_panel="Help")
def show_version() -> None:
    """Show the version."""
    _show_version(True)


@help_app.command("help", rich_help_panel="Help")
def show_help(words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND")] = None) -> int:
    """Explain a command."""
    return main([*(words or []), "--help"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    sys.excepthook = logs.uncaught
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the caller gave none, as `>&-`
            setattr(sys, name, open(os.devnull, mode, errors="backslashreplace"))
    if isinstance(sys.stdout, TextIOWrapper):  # a pipe on Windows takes only the letters of its code page
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = get_command(app).main(argv, prog_name=NAME, standalone_mode=False)
        print(end="", flush=True)  # at the end of Python a full disk would be a traceback
        return 1 if code == INTERRUPTED else code or 0
    except TyperException as error:  # a wrong command line
        error.message = in_our_words(error.message)
        error.show()  # type: ignore[attr-defined]  # all of Typer's own have it
        return error.exit_code
    except (RelayError, OSError, BaseExceptionGroup) as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup) and not first.split((RelayError, OSError))[1]:
            first = first.exceptions[0]  # all in the group are such errors
        if isinstance(first, RelayError):
            return failed(first)
        if not isinstance(first, OSError):
            raise
        closed_pipe = errno.EINVAL if sys.platform == "win32" else errno.EPIPE  # bpo-35754
        if first.errno in (closed_pipe, errno.EPIPE, errno.ENOSPC) and first.filename is None:
            return _output_closed(first)
        # Typer writes into the home.
        if "--install-completion" not in (sys.argv if argv is None else argv):
            raise
        return failed(
            ConfigError(
                f"--install-completion: {first.filename} cannot be written ({first.strerror}):"
                " `dayz-relay completion` prints what your shell needs"
            )
        )


def _output_closed(error: OSError) -> int:
    """Standard output takes no more: its reader is gone, as with `| head`, or its disk is full.

    What is still to be written when Python ends would fail too.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.ENOSPC:
        complain(f"the output cannot be written: {error.strerror}")
    return 1
