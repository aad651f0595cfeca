"""A disk without room, for what a test writes itself. Not on Windows."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_file_longer_than(most_bytes: int) -> Iterator[None]:
    """A write beyond this is cut or fails, as on a full disk, with another number of the error."""
    import resource  # Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
