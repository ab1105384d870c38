"""How gunicorn processes a WSGI request: parser, request, body, environ, response.

Relied on: `get_parser` iterates over a connection's requests, and raises StopIteration or `NoMoreData` at its end;
`Request` and `HeaderPolicy` apply the configuration's rules to headers one by one, by `_apply_header_policy`; a body
reads from a `LengthReader`, which counts in `length` what is left, or from one for chunks, whose `parser` is None at
the end; `Response.should_close` asks the request's `should_close` as it sends its headers, and once more at its end.

The worker classes look up `create` in its module at each request, after `handle_request` has started: this is where
requests are measured (`put_in_place_of_create`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.http import get_parser, wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ConfigurationProblem, InvalidRequestLine, NoMoreData, ParseException
from gunicorn.http.message import HeaderPolicy, Request
from gunicorn.http.wsgi import FileWrapper, Response, create
from gunicorn.util import split_request_uri

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Body",
    "ConfigurationProblem",
    "FileWrapper",
    "HeaderPolicy",
    "InvalidRequestLine",
    "LengthReader",
    "NoMoreData",
    "ParseException",
    "Request",
    "Response",
    "builds_its_own_response",
    "create",
    "current_create",
    "get_parser",
    "is_of_the_connection",
    "put_in_place_of_create",
    "split_request_uri",
]


def current_create() -> Callable[..., Any]:
    """Return what gunicorn's workers of this process call: `create`, or what somebody has put in its place."""
    current: Callable[..., Any] = wsgi.create
    return current


def put_in_place_of_create(replacement: Callable[..., Any]) -> None:
    """Make gunicorn's workers of this process call another function instead of `create`."""
    wsgi.create = replacement


def is_of_the_connection(owner: object) -> bool:
    """Return whether an object is gunicorn's own reader of requests from the client or writer of responses to it.

    A file wrapper is the app's, although its class is gunicorn's.
    """
    if isinstance(owner, Response):
        return True
    return type(owner).__module__.startswith("gunicorn.http") and not isinstance(owner, FileWrapper)


def builds_its_own_response() -> bool:
    """Return whether `create` builds gunicorn's own response, not of a class that somebody has put in its place."""
    return wsgi.Response is Response
