"""Records what pods say of themselves: scrapes metrics at an interval, one line of JSON a round."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp

from stablehand_operator.cli.tune import recording
from stablehand_operator.scrape import LARGEST_BYTES, new_session
from stablehand_tuner.observe.snapshot import IncompleteSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OK = 200


async def record(
    urls: Sequence[str],
    *,
    seconds: float,
    interval: float,
    timeout: float,
    write: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Scrape the metrics of pods for so long.

    Args:
        urls: of the pods' metrics; each is the pod's name in the recording.
        seconds: for how long; the first round is at once.
        interval: seconds between two rounds.
        timeout: seconds that a pod has to answer.
        write: takes each line.
        warn: takes one sentence for each failed scrape.

    Returns:
        How many scrapes succeeded.
    """
    scraped = 0
    ends = time.monotonic() + seconds
    async with new_session() as session:
        while True:
            began = time.monotonic()
            at = time.time()
            texts = await asyncio.gather(*(_scraped(session, url, at, timeout, warn) for url in urls))
            scraped += sum(text is not None for text in texts)
            write(recording.write(at, dict(zip(urls, texts, strict=True))))
            due = began + interval
            if due > ends:
                return scraped
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _scraped(
    session: aiohttp.ClientSession, url: str, at: float, timeout: float, warn: Callable[[str], None]
) -> str | None:
    try:
        text = await asyncio.wait_for(_fetch(session, url), timeout)
        recording.snapshot(text, at)
    except asyncio.TimeoutError:
        warn(f"{url} did not answer within {timeout:g} s")
    except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
        warn(f"{url}: {str(error) or type(error).__name__}")
    except IncompleteSnapshot as error:
        warn(f"{url}: {error}")
    else:
        return text
    return None


async def _fetch(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != _OK:
            raise aiohttp.ClientError(f"answered with status {response.status}")
        content = await response.content.read(LARGEST_BYTES + 1)
        while len(content) <= LARGEST_BYTES and (more := await response.content.read(LARGEST_BYTES)):
            content += more
        if len(content) > LARGEST_BYTES:
            raise aiohttp.ClientError(f"answered with more than {LARGEST_BYTES} bytes")
        return content.decode("utf-8")
