"""Thousands of wrong keys take no memory, their timing reveals nothing, and the right key still works."""

import asyncio
import random
import statistics
import time

from tests.hostile.conftest import key, limited, refused, rss_kib
from tests.hostile.figures import note
from tests.hostile.strangers import GoodMod, read_answer, running
from tests.support.relay_process import RelayProcess


async def ask(port: int, mod_key: str, address: str) -> tuple[int, float]:
    """Polls with a key. Returns the status and the seconds that the answer took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        begun_s = time.perf_counter()
        writer.write(f"GET /k/{mod_key}/gameserver/x/poll HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status = await read_answer(reader)
        return status, time.perf_counter() - begun_s
    finally:
        writer.close()


async def test_wrong_keys_take_no_memory_and_lock_nobody_out(relay: RelayProcess, many: bool) -> None:
    count, draw = (10_000 if many else 1_000), random.Random(5)
    mod = GoodMod(relay.port, key("good-0"), 0.05)  # from the same address as the wrong keys
    await asyncio.gather(*(ask(relay.port, "warm-up-0123456789", "127.0.0.1") for _ in range(200)))
    before_kib, statuses = rss_kib(relay.modapi.pid), {401: 0, 429: 0}
    async with running([mod]):
        for _ in range(count // 50):
            keys = [f"{draw.getrandbits(192):048x}" for _ in range(50)]
            for status, _ in await asyncio.gather(*(ask(relay.port, one, "127.0.0.1") for one in keys)):
                statuses[status] += 1
    grown_kib = rss_kib(relay.modapi.pid) - before_kib
    note(
        "wrong keys",
        f"{count} from one address: answered {statuses}, memory {grown_kib:+d} KiB; the right key from there"
        f" meanwhile: {mod.statuses}",
    )
    assert set(mod.statuses) == {200}
    assert (
        statuses[429] > count * 0.8 - 200 and await refused(relay, "wrong_keys_per_minute") >= statuses[429]
    )
    assert relay.modapi.log.count("opens no instance") == 1  # they do not fill the log either
    assert grown_kib < 8 * 1024


@limited(wrong_keys_per_minute=1_000_000)
async def test_timing_does_not_reveal_how_near_a_key_is(relay: RelayProcess, many: bool) -> None:
    """Compares the times for keys that begin like a right one with those that do not, by their medians."""
    draw, took_us = random.Random(6), {"near": list[float](), "far": list[float]()}
    right = key("good-0")
    for number in range(5_000 if many else 400):
        near = right[:20] + f"{draw.getrandbits(64):016x}"[: len(right) - 20]
        far = f"{draw.getrandbits(256):064x}"[: len(right)]
        for kind, one in (("near", near), ("far", far))[:: 1 if number % 2 else -1]:
            status, took_s = await ask(relay.port, one, "127.0.0.1")
            assert status == 401
            took_us[kind].append(took_s * 1e6)
    difference_us = statistics.median(took_us["near"]) - statistics.median(took_us["far"])
    low_us, high_us = bootstrap(took_us["near"], took_us["far"], draw)
    note(
        "timing of wrong keys",
        f"{len(took_us['far'])} pairs over loopback: median far {statistics.median(took_us['far']):.0f} us,"
        f" near {difference_us:+.1f} us (95 % bootstrap interval {low_us:+.1f} to {high_us:+.1f} us)",
    )
    assert abs(difference_us) < 0.2 * statistics.median(took_us["far"])


def bootstrap(near: list[float], far: list[float], draw: random.Random) -> tuple[float, float]:
    """The bounds of 95 % of the differences of medians, by resampling."""
    found = sorted(
        statistics.median(draw.choices(near, k=len(near))) - statistics.median(draw.choices(far, k=len(far)))
        for _ in range(400)
    )
    return found[10], found[-11]
