"""Every command and every snippet in README.md, docs/ and deploy/README.md works as it stands there.

Shell blocks are run, page by page, in a folder with a relay between a simulated mod and a simulated Takaro.
"<!-- until Ctrl-C -->" above a block: it is interrupted. "<!-- not run: why -->": its syntax is checked.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.relay.service.settings import load
from tests.docs.pages import ROOT, Block, blocks
from tests.support.ports import free_port
from tests.support.waiting import until_other_processes

MOD_KEY = "example-key-yours-is-different"
ADMIN_TOKEN = "example-admin-token-0123"
FILLED_IN = {"<mod key>": MOD_KEY, "<admin token>": ADMIN_TOKEN}
KINDS = {"bash", "json", "mermaid", "powershell", "toml", "text"}
WITHIN_S = 30.0
BASH = [block for block in blocks("bash") if not block.marker.startswith("not run")]
NOT_RUN = [block for block in blocks("bash") if block.marker.startswith("not run")]

RELAY_TOML = """\
[takaro]
url = "{takaro}"
registration_token = "any-word"
[modapi]
port = {port}
admin_port = {modapi}
admin_token = "{admin_token}"
[uplink]
admin_port = {uplink}
[[instance]]
slug = "main"
name = "My DayZ server"
identity_token = "an-identity-of-the-docs-0123"
mod_keys = ["{mod_key}"]
"""


@dataclass
class CommandRunner:
    """A folder in which the commands of the docs work."""

    folder: Path
    ports: dict[str, int]
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        clean = {
            name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "TAKARO_"))
        }
        path = f"{self.folder / 'bin'}{os.pathsep}{clean['PATH']}"
        return {
            **clean,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
        }

    def script(self, block: Block) -> str:
        text = block.text
        for placeholder, value in FILLED_IN.items():
            text = text.replace(placeholder, value)
        for port, ours in self.ports.items():
            text = re.sub(rf"(127\.0\.0\.1|localhost):{port}\b", rf"\1:{ours}", text)
        return f"set -euo pipefail\n{text}"

    def begin(self, log: str, *command: str) -> "subprocess.Popen[bytes]":
        with (self.folder / log).open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def said(self, log: str) -> str:
        return (self.folder / log).read_text()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandRunner]:
    folder = tmp_path_factory.mktemp("docs")
    made = CommandRunner(folder, {"8088": free_port(), "9088": free_port(), "9089": free_port()})
    program = folder / "bin" / "dayz-relay"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli "$@"\n')
    program.chmod(0o755)
    (folder / "profiles").mkdir()
    (folder / "TakaroConfig.txt").write_text("serverName=Old server\nregistrationToken=any-word\n")
    try:
        made.begin("takaro.log", str(program), "sim", "takaro", "--registration-token", "any-word")
        until_other_processes(lambda: "listening at" in made.said("takaro.log"), "a Takaro")
        takaro = re.search(r"ws://\S+", made.said("takaro.log"))
        assert takaro
        port, modapi, uplink = made.ports.values()
        config = RELAY_TOML.format(
            takaro=takaro[0],
            port=port,
            modapi=modapi,
            uplink=uplink,
            admin_token=ADMIN_TOKEN,
            mod_key=MOD_KEY,
        )
        (folder / "relay.toml").write_text(config)
        (folder / "relay.toml").chmod(stat.S_IRUSR | stat.S_IWUSR)
        made.begin("relay.log", str(program), "up")
        until_other_processes(lambda: "mods call" in made.said("relay.log"), "a relay")
        url = f"http://127.0.0.1:{port}/k/{MOD_KEY}"
        made.begin("mod.log", str(program), "sim", "mod", "--url", url, "--registration-token", MOD_KEY)
        for line in ("the mod is there", "linked to Takaro"):
            until_other_processes(lambda line=line: line in made.said("relay.log"), line)  # type: ignore[misc]
        yield made
    finally:
        for process in reversed(made.running):
            process.send_signal(signal.SIGINT)
        for process in made.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait()
    assert "Traceback" not in made.said("relay.log")


@pytest.mark.flow
@pytest.mark.parametrize("block", BASH, ids=str)
def test_the_command_works(runner: CommandRunner, block: Block) -> None:
    script = runner.script(block)
    assert not re.search(r"<[a-z ]+>", script), "a placeholder that this test does not know"
    log = f"{block.page.replace('/', '-')}-{block.line}.log"
    process = runner.begin(log, "bash", "-c", script)
    if block.marker == "until Ctrl-C":
        until_other_processes(
            lambda: runner.said(log).count("\n") >= 1 or process.poll() is not None, "its first line"
        )
        assert process.poll() is None, runner.said(log)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(WITHIN_S)
    else:
        assert process.wait(WITHIN_S) == 0, runner.said(log)
    runner.running.remove(process)
    said = runner.said(log)
    assert "Traceback" not in said
    if answer := answer_below(block):
        assert shape(json.loads(said[said.index("{") :])) == shape(json.loads(answer.text))


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_blocks_that_are_not_run_are_valid_and_say_why(block: Block) -> None:
    assert len(block.marker.partition(":")[2]) > 10
    script = re.sub(r"<[a-z ]+>", "word", block.text)
    subprocess.run([shutil.which("bash") or "bash", "-n", "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_blocks_of_json_are_valid(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_are_valid_but_for_their_files(block: Block, tmp_path: Path) -> None:
    text = re.sub(r'_file = "(?:.*/)?([^"]*)"', r'_file = "\1"', block.text)
    for name in re.findall(r'_file = "(.*)"', text):
        word = name.replace(".", "-")
        secret = f"https://discord.example/{word}" if name == "discord" else f"0123456789-{word}"
        (tmp_path / name).write_text(secret)
    path = tmp_path / "relay.toml"
    path.write_text(re.sub(r'"paste the token .*"', '"token-0123456789"', text))
    assert load(path, {}).warnings == ()


def test_every_block_names_its_language() -> None:
    assert {block.kind for block in blocks()} <= KINDS
    assert {block.marker for block in BASH} <= {"", "until Ctrl-C"}


def answer_below(block: Block) -> Block | None:
    """The JSON that stands right below a call."""
    of_page = [one for one in blocks() if one.page == block.page]
    after = of_page[of_page.index(block) + 1 : of_page.index(block) + 2]
    near = after and after[0].line <= block.line + block.text.count("\n") + 3
    return after[0] if near and after[0].kind == "json" and block.text.startswith("curl") else None


def shape(value: Any) -> Any:
    """The keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(of) for key, of in value.items()}
    return type(value).__name__
