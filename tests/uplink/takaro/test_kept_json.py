"""JSON that is kept takes no more memory than it needs."""

import ctypes
import sys

import orjson
import pytest

from services.uplink.takaro.frames import kept_json


def test_kept_json_is_the_same_json() -> None:
    assert orjson.loads(kept_json({"x": 1.5, "name": "Ä"})) == {"x": 1.5, "name": "Ä"}


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_kept_json_takes_little_more_memory_than_its_length() -> None:
    kept = kept_json("x" * 600)  # longer than what Python puts into blocks of its own
    usable = ctypes.CDLL(None).malloc_usable_size
    usable.argtypes, usable.restype = [ctypes.c_void_p], ctypes.c_size_t
    assert sys.getsizeof(kept) <= usable(id(kept)) < 800
