"""Hundreds of silent and slow connections at once are ended in time, and good mods are served as before."""

import asyncio

from services.relay.protocol.limits import DEFAULT_LIMITS
from tests.hostile.conftest import FULL, NAMES, key, limited, refused
from tests.hostile.figures import note
from tests.hostile.strangers import BAD_ADDRESSES, GoodMod, gangs, percentile, running
from tests.support.relay_process import RelayProcess

WITHIN_S = DEFAULT_LIMITS.receive_within_s if FULL else 4.0
GONE_AFTER_S = WITHIN_S + 15.0


@limited(receive_within_s=WITHIN_S)
async def test_slow_and_silent_connections_are_ended_and_good_mods_are_served(
    relay: RelayProcess, many: bool
) -> None:
    each = 500 if many else 150
    mods = [GoodMod(relay.port, key(name)) for name in NAMES[:4]]
    bad = gangs(key("bad"))
    async with running(mods):
        await asyncio.gather(
            *(
                gang.run(relay.port, each, address)
                for gang, address in zip(bad.values(), BAD_ADDRESSES, strict=True)
            )
        )
    took_s = [took for mod in mods for took in mod.took_s]
    p99_s, slowest_s = percentile(took_s, 99), max(one for gang in bad.values() for one in gang.ended_s)
    note(
        "connections",
        f"{each} silent, {each} slow heads, {each} slow bodies at once: {len(took_s)} POSTs of good mods p50"
        f" {percentile(took_s, 50) * 1e3:.1f} ms, p99 {p99_s * 1e3:.1f} ms; the last bad one gone after"
        f" {slowest_s:.1f} s",
    )
    assert all(len(gang.ended_s) == each and not gang.refused for gang in bad.values())
    assert slowest_s < GONE_AFTER_S
    assert p99_s < 3.0  # the shortest time-out that a mod can set (protocol.md M6)
    assert all(set(mod.statuses) == {200} for mod in mods)
    assert await refused(relay, "receive_within_s") == 3 * each


@limited(connections_per_address=50, receive_within_s=3)
async def test_one_address_cannot_take_all_connections(relay: RelayProcess) -> None:
    """An address that opens too many connections is refused; other addresses are not."""
    silent, mod = gangs("")["silent"], GoodMod(relay.port, key("good-0"), 0.02)
    async with running([mod]):
        await silent.run(relay.port, 120, BAD_ADDRESSES[0])
    assert sum(ended_s < 2.5 for ended_s in silent.ended_s) == 70
    assert await refused(relay, "connections_per_address") == 70
    assert set(mod.statuses) == {200}
