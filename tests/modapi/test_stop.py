"""modapi is stopped as a process."""

import asyncio

import httpx

from services.relay.protocol.keys import keys_of
from tests.support.relay_process import RelayProcess

KEY = "mod-key-0123456789abcdef"


async def test_a_stop_notes_that_the_last_batch_was_answered() -> None:
    """Otherwise another modapi would take the mod's next batch for a repeat, if it is equal."""
    block = f'slug = "one"\nname = "A server"\nidentity_token = "identity-of-it"\nmod_keys = ["{KEY}"]\n'
    relay = RelayProcess("ws://127.0.0.1:9", [block], "a-registration-token")
    try:
        await asyncio.to_thread(relay.store.start)
        await relay.modapi.start()
        async with httpx.AsyncClient() as mod:
            url = f"{relay.url}/k/{KEY}/gameserver/local/events"
            posted = await mod.post(url, json={"events": [{"type": "log", "msg": "a line"}]})
        assert posted.status_code == 200
        assert await relay.modapi.stop() == 0
        assert relay.store.ask("HEXISTS", keys_of("one").intake, "f1")
    finally:
        if relay.modapi.running:
            relay.modapi.kill()
        relay.store.remove()
