"""Where a run keeps its results, and with which ones it goes on: several sittings may make a run."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench import machine, report
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERRUPTED = 130
_KIND = ("processor", "cores", "python", "versions")


def cache() -> Path:
    """Return the folder of results."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stablehand" / "bench"


def resumed(path: Path, published: Path) -> Results:
    """Return the results to go on with: the file's, or where that is gone, those that were published from this machine.

    Raises:
        BenchError: when there are none, or another kind of machine has measured them.
    """
    if path.exists() or not published.exists():
        return Results.read(path)
    told = report.read_json(published)
    here, there = machine.description(), told["machine"]
    if any(here[each] != there[each] for each in _KIND):
        raise BenchError(f"{published} was measured on another kind of machine: run without --resume")
    return Results.restore(path, told)


@contextlib.contextmanager
def ending(path: Path) -> Iterator[None]:
    """End the process where what it measures fails, or is interrupted; then what there is so far is in the file.

    Raises:
        SystemExit: with the process's status.
    """
    try:
        yield
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        raise SystemExit(1) from error
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"bench: interrupted; what was measured is in {path}, and --resume goes on with it\n")
        raise SystemExit(_INTERRUPTED) from interruption
