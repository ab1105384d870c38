"""One scrape of this machine's own server, over loopback."""

from __future__ import annotations

import http.client

from stablehand_tuner.observe.exposition import MalformedExposition
from stablehand_tuner.observe.snapshot import IncompleteSnapshot, Snapshot

_PATIENCE_SECONDS = 2.0
_LARGEST_BYTES = 4 * 1024 * 1024
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class ScrapeFailed(Exception):  # noqa: N818 (an event that is expected, not a fault of the program)
    """A failed scrape; the message is one sentence."""


def scrape(address: tuple[str, int], at: float) -> Snapshot:
    """Scrape the server's metrics.

    Args:
        address: where the exporter listens; if that is every address, the loopback address is used.
        at: the moment of the scrape, in seconds.

    Raises:
        ScrapeFailed: whatever went wrong.
    """
    host, port = address[0].strip("[]"), address[1]
    host = _EVERY_ADDRESS.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
        response = connection.getresponse()
        content = response.read(_LARGEST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ScrapeFailed(f"{host}:{port} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    text = content.decode(errors="replace")
    if response.status != http.HTTPStatus.OK:
        first_line, _, _ = text.strip().partition("\n")
        raise ScrapeFailed(f"{host}:{port} answers with status {response.status}: {first_line[:200]}")
    if len(content) > _LARGEST_BYTES:
        raise ScrapeFailed(f"{host}:{port} answers with more than {_LARGEST_BYTES} bytes")
    try:
        return Snapshot.from_text(text, at)
    except MalformedExposition as error:
        raise ScrapeFailed(f"{host}:{port} answers with what are no metrics: {error}") from error
    except IncompleteSnapshot as error:
        raise ScrapeFailed(f"{host}:{port}: {error}") from error
