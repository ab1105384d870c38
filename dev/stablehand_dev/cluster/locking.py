"""One process at a time builds, fetches or starts a thing; the others wait and then find it done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stablehand_dev.paths import cache_dir
from stablehand_dev.progress import say


@contextmanager
def locked(thing: Path) -> Iterator[None]:
    """Hold the lock that belongs to a path; if another process has it, print a message and wait.

    The kernel releases the lock when its holder ends, however it ends.
    """
    directory = cache_dir() / "locks"
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / (str(thing).strip("/").replace("/", "-") + ".lock"))
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        say(f"Waiting for another process that works on {thing}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
