"""`dayz-relay demo`: the real relay between three simulated DayZ servers and a simulated Takaro.

Everything lives in a folder of its own that is gone afterwards; nothing leaves this machine.
"""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from services.cli import local_token, own_store, store_place
from services.cli.supervise import supervise
from services.cli.supervisor import services, stop_on_signals
from services.cli.terminal import program
from services.relay.service import logs
from services.relay.service.settings_names import ours
from services.relay.service.under_up import LOCAL_TOKEN_FILE
from services.sim.dayz.generations import Generation
from services.sim.main import keep_asking, print_line, run_mod
from services.sim.ports import free_ports
from services.sim.takaro.server import TakaroSim

REGISTRATION_TOKEN = "demo-registration-token"
EVENTS_PER_S = 0.5
PLAYERS = 5
SYNC_S = 10.0
"""Takaro asks for the players each 30 s. The demo asks more often, so that people see it sooner."""
REPEAT_EVERY_S = 60.0

_SECTIONS = """\
[takaro]
url = "{}"
registration_token = "{}"
[modapi]
port = {}
admin_port = {}
[uplink]
admin_port = {}
"""
_INSTANCE = """
[[instance]]
slug = "{0}"
name = "Demo {0}"
identity_token = "demo-identity-{0}"
mod_keys = ["demo-mod-key-{0}"]
"""


def run(seconds: float | None, environ: Mapping[str, str]) -> int:
    """Run until SIGINT or SIGTERM, or for `seconds`. Returns the exit code."""
    logs.configure("demo")
    with tempfile.TemporaryDirectory(prefix="dayz-relay-demo-") as name:
        folder = Path(name)
        with own_store.held(folder), local_token.in_force(folder) as token_file:
            return asyncio.run(_demo(folder, seconds, {**environ, LOCAL_TOKEN_FILE: token_file}))


async def _demo(folder: Path, seconds: float | None, environ: Mapping[str, str]) -> int:
    stop, kill = stop_on_signals()
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    mods_port, *admin_ports = free_ports(3)
    tokens = {REGISTRATION_TOKEN}
    lines: asyncio.Queue[str] = asyncio.Queue()
    async with TakaroSim(
        registration_tokens=tokens, sync_s=SYNC_S, on_line=partial(_say, lines, "takaro")
    ) as takaro:
        config = folder / "relay.toml"
        text = _SECTIONS.format(takaro.url, REGISTRATION_TOKEN, mods_port, *admin_ports)
        text += "".join(map(_INSTANCE.format, Generation))
        config.write_text(text, encoding="utf-8")
        config.chmod(0o600)
        # Settings of a real relay in our environment would beat the file, or fill its gaps.
        own = {name: text for name, text in environ.items() if name not in ours(environ)}
        store, url = own_store.prepare(folder, store_place.find_server(None))
        programs = [store, *services(config, own, url)]
        peers = asyncio.create_task(_peers(takaro, lines, folder, mods_port, admin_ports[0], stop))
        peers.add_done_callback(lambda _: stop.set())
        code = await supervise(programs, stop, kill)
        await peers
    return code


async def _peers(
    takaro: TakaroSim,
    lines: asyncio.Queue[str],
    folder: Path,
    port: int,
    admin_port: int,
    stop: asyncio.Event,
) -> None:
    """The simulated game servers, and the people in front of Takaro, until `stop`."""
    # A mod registers once per boot and never again (protocol.md M2): modapi must listen by then.
    await _until_open(port, stop)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_say_where_to_look(folder, admin_port)),
            group.create_task(keep_asking(takaro)),
            group.create_task(_print(lines)),
        ]
        for generation in Generation:
            mod_key = f"demo-mod-key-{generation}"
            mod = run_mod(
                url=f"http://127.0.0.1:{port}/k/{mod_key}",
                generation=generation,
                rate=EVENTS_PER_S,
                players=PLAYERS,
                registration_token=mod_key,
                on_line=partial(_say, lines, f"dayz {generation}"),
            )
            tasks.append(group.create_task(mod))
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _say_where_to_look(folder: Path, admin_port: int) -> None:
    """Repeats the lines, because other output scrolls them away. Each is a whole command, to be copied."""
    place = f"--config {folder}/relay.toml --data {folder}"
    while True:
        for what, where in (
            ("the page", f"http://localhost:{admin_port}/"),
            ("all servers", f"{program()} status {place}"),
            ("what passes", f"{program()} tail {place}"),
        ):
            print(f"look at it   {what}: {where}", flush=True)
        await asyncio.sleep(REPEAT_EVERY_S)


async def _until_open(port: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)


def _say(lines: asyncio.Queue[str], who: str, text: str) -> None:
    lines.put_nowait(f"{who:<12} {text}")


async def _print(lines: asyncio.Queue[str]) -> None:
    """In one task: an output that takes no more ends the demo, and not a connection of a simulator."""
    while True:
        print_line(await lines.get())
