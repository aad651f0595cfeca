"""`dayz-relay completion bash|zsh`: what a shell completes, from the parser of the commands themselves."""

import argparse
from collections.abc import Iterator

_BASH = """\
# dayz-relay, completed. In ~/.bashrc:  eval "$(dayz-relay completion bash)"
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

Parsers = Iterator[tuple[str, argparse.ArgumentParser]]


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Prints the script for that shell."""
    steps, values, words = [], [], []
    for path, one in _walk("", parser):
        if path:
            steps.append(f"            '{path}') path='{path}' ;;")
        for option, choices in _choices(one):
            values.append(
                f"        '{path} {option}') COMPREPLY=($(compgen -W '{choices}' -- \"$current\")); return ;;"
            )
        offered = " ".join(_words(one))
        words.append(f"        '{path}') COMPREPLY=($(compgen -W '{offered}' -- \"$current\")) ;;")
    script = _BASH.format(steps="\n".join(steps), values="\n".join(values), words="\n".join(words))
    print((_ZSH if shell == "zsh" else "") + script, end="")
    return 0


def _walk(path: str, parser: argparse.ArgumentParser) -> Parsers:
    """Every command with the words that lead to it: " dlq list"."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _walk(f"{path} {name}", below)


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help is argparse.SUPPRESS:
            continue
        if not action.option_strings and action.choices:
            yield from map(str, action.choices)
        yield from (option for option in action.option_strings if option.startswith("--"))


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        for option in action.option_strings:
            if action.choices:
                yield option, " ".join(map(str, action.choices))
