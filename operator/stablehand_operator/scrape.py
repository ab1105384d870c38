"""One scrape of one pod over HTTP. A pod runs the user's code, so nothing that it answers is trusted.

Any failure raises `ScrapeFailed`, with a reason for the metrics and a sentence for the log: the caller counts the pod
as missing, and other pods never wait for it.
"""

from __future__ import annotations

import asyncio

import aiohttp

from stablehand_operator.names import METRICS_PORT
from stablehand_tuner.observe.exposition import MalformedExposition
from stablehand_tuner.observe.snapshot import IncompleteSnapshot, Snapshot

LARGEST_BYTES = 2 * 1024 * 1024
"""More than the metrics of 512 workers, the most that settings allow."""

# Above this size, which takes about 10 ms to parse, a scrape is parsed in a thread, so that it delays nothing else.
_PARSED_IN_PLACE_BYTES = 128 * 1024
_CHUNK_BYTES = 64 * 1024
_OK = 200


class ScrapeFailed(Exception):  # noqa: N818 (an event that is expected, not a fault of the program)
    """A failed scrape; `reason` is one of `REASONS`, for a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


REASONS = ("timeout", "unreachable", "status", "too_large", "malformed", "incomplete")


def metrics_url(ip: str) -> str:
    """Return where a pod's metrics are."""
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{METRICS_PORT}/metrics"


def new_session() -> aiohttp.ClientSession:
    """Return a session for scraping: no cookies, no proxies, no decompression, as many pods at once as there are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "User-Agent": "stablehand"},
    )


async def scrape(
    session: aiohttp.ClientSession, url: str, *, timeout: float, at: float, requested_cores: float | None = None
) -> Snapshot:
    """Scrape one pod.

    Args:
        session: from `new_session`.
        url: of the pod's metrics.
        timeout: seconds for the whole answer.
        at: the moment of the scrape, in seconds.
        requested_cores: the pod's CPU request, which counts where it has no limit.

    Raises:
        ScrapeFailed: whatever went wrong.
    """
    text = await fetch(session, url, timeout=timeout)
    if len(text) > _PARSED_IN_PLACE_BYTES:
        return await asyncio.to_thread(parse, text, url, at, requested_cores)
    return parse(text, url, at, requested_cores)


async def fetch(session: aiohttp.ClientSession, url: str, *, timeout: float) -> str:
    """Return the text of a pod's metrics, `timeout` being the seconds for the whole answer.

    Raises:
        ScrapeFailed: when there is none, or it is larger than that of any server.
    """
    try:
        return await asyncio.wait_for(_fetch(session, url), timeout)
    except asyncio.TimeoutError:
        raise ScrapeFailed("timeout", f"{url} did not answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise ScrapeFailed("unreachable", f"{url} cannot be reached: {str(error) or type(error).__name__}") from error


def parse(text: str, url: str, at: float, requested_cores: float | None = None) -> Snapshot:
    """Read a text that was fetched; the arguments are those of `scrape`.

    Raises:
        ScrapeFailed: when it is not an exposition, or lacks what the tuner needs.
    """
    try:
        return Snapshot.from_text(text, at, requested_cores=requested_cores)
    except MalformedExposition as error:
        raise ScrapeFailed("malformed", f"{url} answered with something other than metrics: {error}") from error
    except IncompleteSnapshot as error:
        raise ScrapeFailed("incomplete", f"{url}: {error}") from error


async def _fetch(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != _OK:
            raise ScrapeFailed("status", f"{url} answered with status {response.status}")
        if response.content_type not in {"text/plain", "application/openmetrics-text"}:
            raise ScrapeFailed("malformed", f"{url} answered with {response.content_type}, not with metrics")
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            content += chunk
            if len(content) > LARGEST_BYTES:
                raise ScrapeFailed("too_large", f"{url} answered with more than {LARGEST_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScrapeFailed("malformed", f"{url} answered with text that is not UTF-8: {error}") from error
