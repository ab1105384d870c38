"""Logins that are kept in the process's memory: another process knows nothing of them, and answers 401.

`/login` sets a cookie; everything else is for those who have logged in, and computes 5 ms: so much that what a
connection costs makes no difference between the classes.
"""

from __future__ import annotations

import http.cookies
import os
import secrets
from typing import TYPE_CHECKING, Any

from stablehand_bench.apps import workload
from stablehand_bench.apps.hazards.page import READY, answer, greeting, user

if TYPE_CHECKING:
    from stablehand_bench.apps.hazards.page import StartResponse

_TURNS = 5 * int(os.environ.get("STABLEHAND_BENCH_LOOPS", "10000"))
_sessions: dict[str, str] = {}


def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Log in, or greet who has logged in."""
    if environ["PATH_INFO"] == READY:
        return answer(start_response, "")
    if environ["PATH_INFO"] == "/login":
        session = secrets.token_hex(8)
        _sessions[session] = user(environ)
        return answer(start_response, greeting(user(environ)), headers=[("Set-Cookie", f"session={session}")])
    cookies = http.cookies.SimpleCookie(environ.get("HTTP_COOKIE", ""))
    name = _sessions.get(cookies["session"].value) if "session" in cookies else None
    if name is None:
        return answer(start_response, "log in first\n", 401)
    workload.compute(_TURNS)
    return answer(start_response, greeting(name))
