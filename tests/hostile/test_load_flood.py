"""If one instance posts at a hundred times its rate, or expensive bodies, the others are served as before."""

import asyncio
import json
import sys
import time

import pytest

from tests.hostile.conftest import NAMES, key, refused
from tests.hostile.figures import note
from tests.hostile.flood import BODIES, floods
from tests.hostile.strangers import GoodMod, percentile, running
from tests.support.relay_process import RelayProcess

RATES = {"events": 100.0, "broken": 10.0}
"""POSTs a second; an honest mod makes one."""

NOISE_S = 0.1
"""A difference below this may come from other load of the machine."""


async def flood(port: int, kind: str, seconds: float, begin_s: float) -> dict[str, int]:
    arguments = str(port), key("bad"), kind, str(RATES[kind]), str(seconds), str(begin_s)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.hostile.flood", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    answered: dict[str, int] = json.loads(said)
    return answered


@pytest.mark.parametrize("kind", ["events", "broken"])
async def test_a_flood_of_one_instance_does_not_slow_down_the_others(
    relay: RelayProcess, many: bool, kind: str
) -> None:
    seconds = 60.0 if many else 8.0
    mods = [GoodMod(relay.port, key(name), 0.05) for name in NAMES[:4]]

    begin_s = time.monotonic() + 1.5  # by then the flooding process has started
    async with running(mods):
        statuses = await flood(relay.port, kind, seconds, begin_s)
    samples = [
        pair for mod in mods for pair in zip(mod.begun_s, mod.took_s, strict=True) if pair[0] > begin_s
    ]
    calm = [took_s for begun_s, took_s in samples if not floods(begun_s, begin_s)]
    flooded = [took_s for begun_s, took_s in samples if floods(begun_s, begin_s)]
    before_s, during_s = percentile(calm, 99), percentile(flooded, 99)
    p50_before_s, p50_during_s = percentile(calm, 50), percentile(flooded, 50)
    note(
        f"flood of {kind}",
        f"one instance, {RATES[kind]:.0f} POSTs/s of {len(BODIES[kind])} bytes in every other two of"
        f" {seconds:.0f} s, answered {statuses}: POSTs of the others p50 {p50_before_s * 1e3:.1f} ->"
        f" {p50_during_s * 1e3:.1f} ms, p99 {before_s * 1e3:.1f} -> {during_s * 1e3:.1f} ms"
        f" ({len(flooded)} POSTs)",
    )
    assert all(set(mod.statuses) == {200} for mod in mods)
    assert statuses.get("429", 0) > 0
    assert await refused(relay, "events_per_s") + await refused(relay, "requests_per_s") > 0
    assert p50_during_s < max(2 * p50_before_s, NOISE_S)
    if many:  # the p99 of a hundred POSTs is the slowest one, which depends on the machine
        assert during_s < max(2 * before_s, NOISE_S)
