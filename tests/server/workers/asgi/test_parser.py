from __future__ import annotations

import pytest
from gunicorn.asgi.parser import ParseError, PythonProtocol
from hypothesis import given
from hypothesis import strategies as st

from stablehand_server.workers.asgi.parser import RequestParser

EVERY_BYTE = [bytes([number]) for number in range(256)]


def parsed(kind, data, **options):
    """Return what a parser makes of some bytes, or whom it raises."""
    parser = kind(**options)
    try:
        parser.feed(data)
    except ParseError as error:
        return type(error), str(error)
    return parser.method, parser.path, parser.http_version, parser.headers, parser.is_complete, parser.remaining()


def assert_alike(data, **options):
    assert parsed(RequestParser, data, **options) == parsed(PythonProtocol, data, **options)


@pytest.mark.parametrize("byte", EVERY_BYTE)
def test_every_byte_is_taken_or_refused_where_gunicorn_does_so(byte):
    assert_alike(b"GET / HTTP/1.1\r\nX-A" + byte + b"B: value\r\n\r\n")
    assert_alike(b"GET / HTTP/1.1\r\nX-A: val" + byte + b"ue\r\n\r\n")
    assert_alike(b"GE" + byte + b"T / HTTP/1.1\r\n\r\n")
    assert_alike(b"GE" + byte + b"T / HTTP/1.1\r\n\r\n", permit_unconventional_http_method=True)


@pytest.mark.parametrize("method", [b"", b"GO", b"get", b"A" * 20, b"A" * 21, b"PATCH", b"M-SEARCH", b"GET\n"])
def test_methods_are_conventional_where_gunicorn_says_so(method):
    assert_alike(method + b" / HTTP/1.1\r\n\r\n")


@given(st.lists(st.sampled_from([b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"Host", b":", b"x", b"\n", *EVERY_BYTE])))
def test_whatever_comes_is_understood_as_gunicorn_understands_it(parts):
    assert_alike(b"".join(parts))


def test_a_parser_of_gunicorns_is_adopted_with_what_it_was_made_with():
    parser = PythonProtocol(limit_request_fields=1)
    RequestParser.adopt(parser)

    assert type(parser) is RequestParser
    with pytest.raises(ParseError, match="Too many"):
        parser.feed(b"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\n\r\n")


def test_a_parser_of_another_kind_stays_what_it_is():
    class Another(PythonProtocol):
        __slots__ = ()

    parser = Another()
    RequestParser.adopt(parser)
    assert type(parser) is Another
