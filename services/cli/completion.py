"""`dayz-relay completion bash|zsh`: what a shell completes, from the parser of the commands themselves.

The names of servers it asks for by `dayz-relay completion slugs`.
"""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

from services.cli.opened_relay import opened
from services.relay.protocol.errors import RelayError
from services.relay.service.settings import Settings

_BASH = """\
# dayz-relay, completed. In ~/.bashrc:  eval "$(dayz-relay completion bash)"
_dayz_relay_slugs() {{
    [[ "$2" == -* ]] || "$1" completion slugs 2> /dev/null
}}
_dayz_relay() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" path="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
{steps}
        esac
    done
    case "$path $before" in
{values}
    esac
    case "$path" in
{words}
    esac
}}
complete -o default -F _dayz_relay dayz-relay
"""

_ZSH = """\
# dayz-relay, completed. In ~/.zshrc, behind compinit:  eval "$(dayz-relay completion zsh)"
autoload -U +X bashcompinit && bashcompinit
"""

_SLUGS = '$(_dayz_relay_slugs "${COMP_WORDS[0]}" "$current")'

Parsers = Iterator[tuple[str, argparse.ArgumentParser]]


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Prints the script for that shell."""
    steps, values, words = [], [], []
    for path, one in _walk("", parser):
        if path:
            steps.append(f"            '{path}') path='{path}' ;;")
        for option, offered in _values(one):
            values.append(f"        '{path} {option}') {_offer(offered)}; return ;;")
        words.append(f"        '{path}') {_offer(' '.join(_words(path, one)))} ;;")
    script = _BASH.format(steps="\n".join(steps), values="\n".join(values), words="\n".join(words))
    print((_ZSH if shell == "zsh" else "") + script, end="")
    return 0


def slugs(settings: Settings, data: Path) -> int:
    """Prints those of all servers; of relay.toml alone while the store is away."""
    print(*asyncio.run(_slugs(settings, data)), sep="\n")
    return 0


async def _slugs(settings: Settings, data: Path) -> list[str]:
    try:
        async with opened(settings, data) as relay:
            return list(await relay.entries())
    except RelayError:
        return [instance.slug for instance in settings.instances]


def _offer(words: str) -> str:
    return f'COMPREPLY=($(compgen -W "{words}" -- "$current"))'


def _walk(path: str, parser: argparse.ArgumentParser) -> Parsers:
    """Every command with the words that lead to it: " dlq list"."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _walk(f"{path} {name}", below)


def _words(path: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help is argparse.SUPPRESS:
            continue
        if not action.option_strings and action.choices:
            yield from map(str, action.choices)
        if action.dest in ("slug", "slugs") and path != " instance add":  # which is to be a new one
            yield _SLUGS
        yield from (option for option in action.option_strings if option.startswith("--"))


def _values(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """What may follow an option. Nothing of ours: bash offers files then."""
    for action in parser._actions:
        for option in action.option_strings:
            if action.choices:
                yield option, " ".join(map(str, action.choices))
            elif action.nargs != 0:
                yield option, _SLUGS if action.metavar == "SLUG" else ""
