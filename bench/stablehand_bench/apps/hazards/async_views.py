"""Async views of a framework on WSGI: each request runs an event loop of its own, and a thread may only run one.

Greenlets of one thread would need several: all but the first fail.
"""

from __future__ import annotations

import asyncio

import flask

from stablehand_bench.apps.hazards.page import READY, greeting

app = flask.Flask(__name__)


@app.get(READY)
def ready() -> str:
    """Answer without an event loop."""
    return ""


@app.get("/")
async def view() -> str:
    """Await 50 ms."""
    await asyncio.sleep(0.05)
    return greeting(flask.request.args.get("user", ""))
