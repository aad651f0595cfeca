"""Sets Redis' clock, for the dates of stored instances only."""

from typing import Any

import pytest

from services.relay.store.client import Script, Store


def set_clock(store: Store, step_s: float, patch: pytest.MonkeyPatch) -> None:
    """From now on Redis' clock is `step_s` ahead of where it was."""
    run_until = store.run_until

    async def stepped(within_s: float, script: Script, *args: Any, **more: Any) -> Any:
        reply = await run_until(within_s, script, *args, **more)
        if script.name == "read_instances":
            reply[1] += round(step_s * 1000)
        return reply

    patch.setattr(store, "run_until", stepped)
