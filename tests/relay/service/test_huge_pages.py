"""Memory in pages of 2 MiB, on a machine that has them."""

import mmap
import sys
from pathlib import Path

import pytest

from services.relay.service.huge_pages import use_huge_pages

BYTES = 8 * 1024 * 1024


def in_huge_pages_kib() -> int:
    [line] = [
        line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHugePages" in line
    ]
    return int(line.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has them")
def test_memory_is_moved_and_keeps_its_content() -> None:
    content = b"".join(number.to_bytes(4, "little") for number in range(BYTES // 4))
    with mmap.mmap(-1, BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(content)
        before_kib = in_huge_pages_kib()
        use_huge_pages()
        assert memory[:] == content
        if in_huge_pages_kib() == before_kib:
            pytest.skip("this kernel moves none")
