"""`python -m tests.hostile.flood PORT KEY KIND RATE SECONDS BEGIN`: posts with that key, from 127.0.0.2.

It is a separate process, so that the measuring test does not wait for it. Prints the number of each status as
JSON.
"""

import asyncio
import json
import sys
import time

from tests.hostile.strangers import HEAD, read_answer

_BROKEN = (
    b'{"type":"chat-message","player":{"gameId":"76561198000000001","name":"Bob "x" y"},"msg":"a "b" c:\\d"},'
)

WINDOW_S = 2.0

BODIES = {
    "events": b'{"events":[' + b",".join([b'{"type":"log","msg":"flood"}'] * 50) + b"]}",
    "broken": b'{"events":[' + _BROKEN * 600 + b"]}",
}


def floods(now_s: float, begin_s: float) -> bool:
    """Whether the flood is on. Windows with and without it alternate, so that other load of the machine
    affects both."""
    return now_s >= begin_s and int((now_s - begin_s) / WINDOW_S) % 2 == 1


async def flood(
    port: int, key: str, kind: str, per_s: float, seconds: float, begin_s: float
) -> dict[int, int]:
    """Makes `per_s` POSTs a second in every other window, each on a new connection. Returns the number of
    each status; 0: no answer."""
    statuses: dict[int, int] = {}
    body = BODIES[kind]

    async def post() -> None:
        status = 0
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            writer.write(HEAD % (key.encode(), len(body)) + body)
            async with asyncio.timeout(10):
                status = await read_answer(reader)
            writer.close()
        except (OSError, EOFError, TimeoutError):
            pass
        statuses[status] = statuses.get(status, 0) + 1

    async with asyncio.TaskGroup() as group:
        while (now_s := time.monotonic()) < begin_s + seconds:
            if floods(now_s, begin_s):
                group.create_task(post())
            await asyncio.sleep(1 / per_s)
    return statuses


if __name__ == "__main__":
    port, key, kind, per_s, seconds, begin_s = sys.argv[1:]
    print(json.dumps(asyncio.run(flood(int(port), key, kind, float(per_s), float(seconds), float(begin_s)))))
