"""A strict closed-loop HTTP load generator: it retries nothing and counts every failure by its kind.

As an async function: `result = await generate(Load(url, connections=64, duration=10))`.
In a process of its own, so that it shares no interpreter with what it measures:

    with BackgroundLoad(Load(url, connections=64, duration=60)) as load:
        ...
        result = load.stop()
"""

from stablehand_dev.load.background import BackgroundLoad, LoadProcessFailed
from stablehand_dev.load.generator import InvalidLoad, Load, generate
from stablehand_dev.load.result import FailureExample, Latencies, LoadResult, Second

__all__ = [
    "BackgroundLoad",
    "FailureExample",
    "InvalidLoad",
    "Latencies",
    "Load",
    "LoadProcessFailed",
    "LoadResult",
    "Second",
    "generate",
]
