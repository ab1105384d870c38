"""Which interface an app speaks, WSGI or ASGI, determined by its signature, and without calling it where possible."""

from __future__ import annotations

import enum
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ASGI_PARAMETERS = 3  # scope, receive, send
_WSGI_PARAMETERS = 2  # environ, start_response


class Interface(enum.Enum):
    """What an app is called with; ASGI2 apps are called twice, with the scope and then with the channels."""

    WSGI = "WSGI"
    ASGI = "ASGI"
    ASGI2 = "ASGI 2"


def interface_of(app: Any) -> Interface:
    """Return the interface of an app; WSGI unless something indicates another, as gunicorn assumes it.

    By ASGI's specification an app is a coroutine callable with scope, receive and send (a callable that returns an
    awaitable also works), or, up to version 2.0, a callable with the scope alone that returns the coroutine callable:
    https://asgi.readthedocs.io/en/latest/specs/main.html
    """
    if _is_coroutine_callable(app):
        return Interface.ASGI
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # compiled code without a signature, or nothing that can be called
        return Interface.WSGI
    if next(iter(signature.parameters), "") == "scope":
        return Interface.ASGI if _takes(signature, _ASGI_PARAMETERS) else Interface.ASGI2
    if _takes(signature, _ASGI_PARAMETERS) and not _takes(signature, _WSGI_PARAMETERS):
        return Interface.ASGI
    return Interface.WSGI


def interface_of_hidden(app: Any) -> Interface:
    """Return the interface of an app for a class that serves both: it is called if its signature reveals nothing.

    That is the case for what a decorator without functools.wraps returns. As a WSGI app it refuses the three arguments
    of a lifespan; as an ASGI app it returns what would then be awaited, and here is not.
    """
    interface = interface_of(app)
    if interface is Interface.WSGI and _accepts_anything(app):
        try:
            called = app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, _refuse, _refuse)
        except Exception:  # noqa: BLE001 (whatever the app's own code makes of it)
            return Interface.WSGI
        if inspect.isawaitable(called):
            interface = Interface.ASGI
        close = getattr(called, "close", None)
        if close is not None:
            close()
    return interface


def single_callable(app: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return an ASGI 2 app as what ASGI 3 calls."""

    async def called_once(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return called_once


def _is_coroutine_callable(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.isclass(app):
        return False  # calling it makes an instance
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004 (not whether it can be called, but how)


def _accepts_anything(app: Any) -> bool:
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    return next((each.kind for each in parameters), None) is inspect.Parameter.VAR_POSITIONAL


def _refuse(*_: Any) -> Any:
    raise RuntimeError("not meant to be used: the app is called to see whether it returns an awaitable")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
