"""A renderer from before threads, with one buffer for the process: at once, users get parts of each other's pages.

Every answer is a 200; what is wrong is its content, and its length.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stablehand_bench.apps.hazards.page import READY, answer, greeting, user

if TYPE_CHECKING:
    from stablehand_bench.apps.hazards.page import StartResponse

_buffer: list[str] = []


def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Render a page part by part; its second half needs an answer of the database."""
    if environ["PATH_INFO"] == READY:
        return answer(start_response, "")
    text = greeting(user(environ))
    _buffer.clear()
    _buffer.append(text[:6])
    time.sleep(0.03)
    _buffer.append(text[6:])
    return answer(start_response, "".join(_buffer))
