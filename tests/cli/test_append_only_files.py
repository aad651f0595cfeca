"""Real servers on files as a power cut leaves them: all before the torn end is there, damage is named."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.cli.append_only_files import CUT_OFF, complaint, full_disk, mend
from services.relay.protocol.errors import ConfigError
from tests.support.redis_server import RedisServer, binaries

COUNT = 40
WRITE = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', 'n')"


class Kept:
    """A server that was killed, and a copy of its files; `tear` begins anew with the copy."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.data = server.folder
        self.folder = self.data / "appendonlydir"
        self.copy = self.data / "copy"
        server.start()
        self.offsets = [0]
        for number in range(COUNT):
            server.ask("EVAL", WRITE, 1, f"k{number}", "x" * number)
            self.offsets.append(self.increment.stat().st_size)
        server.kill()
        shutil.copytree(self.folder, self.copy)

    def _one(self, pattern: str) -> Path:
        [found] = self.folder.glob(pattern)
        return found

    @property
    def increment(self) -> Path:
        return self._one("*.incr.aof")

    @property
    def base(self) -> Path:
        return self._one("*.base.rdb")

    @property
    def manifest(self) -> Path:
        return self._one("*.manifest")

    def anew(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.copy, self.folder)

    def written(self) -> int:
        """How many writes the server has when it starts on these files."""
        self.server.start()
        try:
            count = int(self.server.ask("GET", "n") or 0)
            assert self.server.ask("DBSIZE") == count + bool(count)
            return count
        finally:
            self.server.kill()


@pytest.fixture(scope="module", params=["valkey", "redis"])
def killed(request: pytest.FixtureRequest) -> Iterator[Kept]:
    if request.param not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    kept = Kept(RedisServer(binaries()[request.param]))
    yield kept
    kept.server.remove()


@pytest.fixture
def kept(killed: Kept) -> Kept:
    killed.anew()
    return killed


@pytest.mark.parametrize("seed", range(12))
def test_nothing_before_a_torn_end_is_lost(kept: Kept, seed: int) -> None:
    chance = random.Random(seed)
    whole = kept.increment.read_bytes()
    cut = len(whole) if seed < 2 else chance.randrange(len(whole))
    zeros = chance.choice([1, 511, 4_096, 100_000])
    kept.increment.write_bytes(whole[:cut] + bytes(zeros))
    [said] = mend(kept.data)
    assert "were cut off, as a power cut leaves them" in said
    assert mend(kept.data) == []  # it is said once
    assert kept.written() == max(n for n, offset in enumerate(kept.offsets) if offset <= cut)
    [cut_off] = (kept.data / CUT_OFF).glob("*")
    assert (kept.copy / kept.increment.name).read_bytes()[:cut] + bytes(zeros) == whole[
        : int(cut_off.name.rpartition("-")[2])
    ] + cut_off.read_bytes()
    shutil.rmtree(kept.data / CUT_OFF)


def test_the_same_files_keep_the_server_from_starting_without_it(kept: Kept) -> None:
    kept.increment.write_bytes(kept.increment.read_bytes() + bytes(4_096))
    with pytest.raises(AssertionError, match="Bad file format"):
        kept.written()
    assert complaint(kept.data).endswith("`dayz-relay up` mends it")


def test_a_full_disk_is_named_for_the_store_cannot_even_log_it(tmp_path: Path) -> None:
    assert full_disk(tmp_path) == ""
    assert full_disk(tmp_path, needed=2**63).endswith("bytes left): make room there")
    # Also before there are files: the store cannot make them.
    assert complaint(tmp_path, needed=2**63).endswith("bytes left): make room there")
    assert complaint(tmp_path) == complaint(tmp_path / "not-there") == ""


def test_a_whole_file_is_not_changed(kept: Kept) -> None:
    assert (mend(kept.data), mend(kept.data, thorough=True), complaint(kept.data)) == ([], [], "")
    assert kept.written() == COUNT
    assert mend(kept.data / "not-there") == []


@pytest.mark.parametrize(
    "tear",
    [
        lambda path: path.write_bytes(path.read_bytes() + bytes(50)),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.read_bytes()[:20] + bytes(30)),
        lambda path: path.write_bytes(bytes(80)),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["zeros behind", "cut", "half zeros", "zeros", "empty", "missing"],
)
def test_a_torn_manifest_is_written_anew_from_the_files_beside_it(
    kept: Kept, tear: Callable[[Path], object]
) -> None:
    manifest = kept.manifest
    before = manifest.read_bytes()
    tear(manifest)
    assert complaint(kept.data)
    [said] = mend(kept.data)
    assert said.startswith(str(manifest))
    # What Redis 8 adds is not needed, and in none of the files.
    assert manifest.read_bytes() == re.sub(rb" startoffset \d+", b"", before)
    assert kept.written() == COUNT


def test_without_a_manifest_files_that_may_be_left_over_are_not_guessed_at(kept: Kept) -> None:
    kept.manifest.unlink()
    shutil.copy(kept.increment, kept.folder / "appendonly.aof.2.incr.aof")
    with pytest.raises(ConfigError, match="manifest: does not say which of the files beside it are needed"):
        mend(kept.data)


def _zeros(path: Path, begin: int, count: int) -> None:
    data = bytearray(path.read_bytes())
    data[begin : begin + count] = bytes(count)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("increment", lambda path: _zeros(path, 300, 200), r"incr\.aof: is damaged at byte \d"),
        ("increment", lambda path: path.unlink(), r"incr\.aof: is missing"),
        ("base", lambda path: path.write_bytes(path.read_bytes()[:-5]), r"base\.rdb: is not whole"),
        ("base", lambda path: path.write_bytes(b""), r"base\.rdb: is not whole"),
        ("base", lambda path: path.write_bytes(bytes(89)), r"base\.rdb: is not whole"),
        ("base", lambda path: path.unlink(), r"base\.rdb: is missing"),
    ],
)
def test_damage_that_no_power_cut_does_is_named_with_the_fix_and_not_touched(
    kept: Kept, file: str, damage: Callable[[Path], object], words: str
) -> None:
    damage(getattr(kept, file))
    found = {path: path.read_bytes() for path in kept.folder.iterdir()}
    with pytest.raises(ConfigError, match=f"{words}.*restore the folder from a backup"):
        mend(kept.data, thorough=True)
    assert "restore the folder from a backup" in complaint(kept.data)
    assert {path: path.read_bytes() for path in kept.folder.iterdir()} == found


def test_a_torn_end_is_cut_only_where_nothing_was_written_behind_it(kept: Kept) -> None:
    first, second = kept.increment, kept.folder / "appendonly.aof.2.incr.aof"
    kept.manifest.write_text(kept.manifest.read_text() + f"file {second.name} seq 2 type i\n")
    shutil.copy(first, second)
    first.write_bytes(first.read_bytes() + bytes(9))
    with pytest.raises(ConfigError, match=r"1\.incr\.aof: is damaged"):
        mend(kept.data, thorough=True)
    second.write_bytes(bytes(9))
    assert len(mend(kept.data)) == 2
    assert kept.written() == COUNT
