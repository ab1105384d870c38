from __future__ import annotations

import functools

import pytest

from stablehand_server.measure.app_interface import Interface, interface_of, interface_of_hidden, single_callable


def wsgi(environ, start_response): ...


def wsgi_with_an_option(environ, start_response, option=None): ...


def wsgi_of_any_arguments(*args, **kwargs): ...


class _WSGIInstance:
    def __call__(self, environ, start_response): ...


class _WSGIClass:
    """What PEP 3333 calls the iterable class: calling it makes the response."""

    def __init__(self, environ, start_response): ...


async def asgi(scope, receive, send): ...


def asgi_returning_an_awaitable(scope, receive, send):
    return asgi(scope, receive, send)


def asgi_with_other_names(a, b, c): ...


class _ASGIInstance:
    async def __call__(self, scope, receive, send): ...


def asgi2(scope): ...


class _ASGI2Class:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


def decorated(app):
    @functools.wraps(app)
    def outer(*args, **kwargs):
        return app(*args, **kwargs)

    return outer


def hidden(app):
    def outer(*args, **kwargs):
        return app(*args, **kwargs)

    return outer


class _Hiding:
    def __init__(self, app):
        self.app = app

    def __call__(self, *args, **kwargs):
        return self.app(*args, **kwargs)


def wsgi_that_answers_whatever_it_is_called_with(*args):
    _, start_response, *_ = args
    try:
        start_response("200 OK", [])
    except RuntimeError:
        return iter([b"an error page"])


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (hidden(asgi), Interface.ASGI),
        (hidden(asgi_returning_an_awaitable), Interface.ASGI),
        (_Hiding(asgi), Interface.ASGI),
        (hidden(_ASGIInstance()), Interface.ASGI),
        (hidden(wsgi), Interface.WSGI),
        (_Hiding(_WSGIInstance()), Interface.WSGI),
        (hidden(_WSGIClass), Interface.WSGI),
        (wsgi_of_any_arguments, Interface.WSGI),
        (wsgi_that_answers_whatever_it_is_called_with, Interface.WSGI),
        (wsgi, Interface.WSGI),
        (asgi, Interface.ASGI),
        (asgi2, Interface.ASGI2),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_app_behind_a_decorator_that_hides_its_signature_is_recognised(app, interface):
    assert interface_of_hidden(app) is interface


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (wsgi, Interface.WSGI),
        (wsgi_with_an_option, Interface.WSGI),
        (wsgi_of_any_arguments, Interface.WSGI),
        (decorated(wsgi), Interface.WSGI),
        (_WSGIInstance(), Interface.WSGI),
        (_WSGIInstance().__call__, Interface.WSGI),
        (_WSGIClass, Interface.WSGI),
        (functools.partial(wsgi_with_an_option, option=1), Interface.WSGI),
        (print, Interface.WSGI),
        (object(), Interface.WSGI),
        (asgi, Interface.ASGI),
        (asgi_returning_an_awaitable, Interface.ASGI),
        (asgi_with_other_names, Interface.ASGI),
        (decorated(asgi), Interface.ASGI),
        (_ASGIInstance(), Interface.ASGI),
        (_ASGIInstance().__call__, Interface.ASGI),
        (functools.partial(asgi), Interface.ASGI),
        (functools.partial(_ASGIInstance()), Interface.ASGI),
        (asgi2, Interface.ASGI2),
        (_ASGI2Class, Interface.ASGI2),
    ],
)
def test_the_interface_of_an_app_is_determined_without_calling_it(app, interface):
    assert interface_of(app) is interface


async def test_an_asgi_2_app_can_be_called_once():
    called = []

    class App:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            called.append((self.scope, receive, send))

    await single_callable(App)("scope", "receive", "send")
    assert called == [("scope", "receive", "send")]
