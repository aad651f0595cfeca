"""Keeps the programs of one relay alive, its store included, after `up` has checked everything."""

import asyncio
import os
from contextlib import ExitStack

from services.cli import local_token, own_store
from services.cli.programs import services, stop_on_signals
from services.cli.supervise import Program, supervise
from services.cli.supervisor import Checked
from services.relay.service import logs
from services.relay.service.under_up import LOCAL_TOKEN_FILE, STORE_FOLDER


def run(checked: Checked) -> int:
    """Supervise until SIGINT or SIGTERM; the exit code. Raises ConfigError."""
    logs.configure("up", checked.log_format)
    with ExitStack() as held:
        if checked.lock is not None:
            os.set_inheritable(checked.lock, False)
            held.enter_context(own_store.held(checked.data, checked.lock))
        told = {**os.environ, LOCAL_TOKEN_FILE: held.enter_context(local_token.in_force(checked.data))}
        if checked.lock is None:
            programs = services(checked.config, told)
        else:
            store = own_store.prepare(checked.data, checked.server)
            told[STORE_FOLDER] = str(checked.data.resolve())
            programs = [store.program, *services(checked.config, told, store.url)]
        return asyncio.run(_supervise(programs))


async def _supervise(programs: list[Program]) -> int:
    return await supervise(programs, *stop_on_signals())
