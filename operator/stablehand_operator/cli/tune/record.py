"""Records the metrics of pods: scrapes them at an interval and writes one line of JSON for each round."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from stablehand_operator.cli.tune import recording
from stablehand_operator.scrape import ScrapeFailed, fetch, new_session, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import aiohttp


async def record(
    urls: Sequence[str],
    *,
    seconds: float,
    interval: float,
    timeout: float,
    write: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Scrape the metrics of pods for some time.

    Args:
        urls: of the pods' metrics; each is the pod's name in the recording.
        seconds: for how long; the first round is at once.
        interval: seconds between two rounds.
        timeout: seconds that a pod may take to answer.
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
        text = await fetch(session, url, timeout=timeout)
        parse(text, url, at)
    except ScrapeFailed as error:
        warn(str(error))
        return None
    return text
