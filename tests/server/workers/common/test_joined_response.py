"""Headers and the first piece of a body are sent together, and what is sent is what gunicorn sends."""

from __future__ import annotations

import re
import socket
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http.wsgi import Response as GunicornResponse
from hypothesis import given
from hypothesis import strategies as st

from stablehand_server.workers.common.joined_response import Response

LENGTHS = st.sampled_from([None, 0, 1, 5, 70_000])
PIECES = st.lists(st.sampled_from([b"", b"x", b"four", b"y" * 70_000]), max_size=3)
METHODS = st.sampled_from(["GET", "HEAD"])
STATUSES = st.sampled_from(["200 OK", "204 No Content", "304 Not Modified", "500 Oh"])
VERSIONS = st.sampled_from([(1, 0), (1, 1)])


class Sent:
    """A connection that remembers each piece that is sent."""

    def __init__(self):
        self.pieces = []

    def sendall(self, data):
        """Remember it."""
        self.pieces.append(bytes(data))


def response(kind=Response, *, method="GET", version=(1, 1), status="200 OK", length=None, sock=None):
    request = SimpleNamespace(method=method, version=version, should_close=lambda: False)
    made = kind(request, Sent() if sock is None else sock, Config())
    made.start_response(status, [] if length is None else [("Content-Length", str(length))])
    return made


def test_headers_and_first_piece_are_sent_together():
    made = response(length=6)
    made.write(b"one")
    made.write(b"two")

    assert [piece[-3:] for piece in made.sock.pieces] == [b"one", b"two"]
    assert made.sock.pieces[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_empty_first_piece_sends_the_headers_at_once():
    made = response(length=3)
    made.write(b"")

    assert made.sock.pieces[0].endswith(b"\r\n\r\n")
    made.write(b"one")
    assert made.sock.pieces[1] == b"one"


def test_a_large_first_piece_is_not_copied():
    large = b"x" * 100_000
    made = response(length=len(large))
    made.write(large)

    assert [len(piece) == len(large) for piece in made.sock.pieces] == [False, True]


@pytest.mark.parametrize("piece", ["text", bytearray(b"bytes"), None, 7])
def test_a_piece_that_is_no_bytes_is_refused_after_the_headers_as_by_gunicorn(piece):
    made = response()
    with pytest.raises(TypeError, match="not a byte"):
        made.write(piece)

    assert made.headers_sent
    assert made.sock.pieces[0].endswith(b"\r\n\r\n")


def test_headers_that_cannot_be_encoded_send_nothing():
    made = response()
    made.headers = [("X", "€")]
    with pytest.raises(UnicodeEncodeError):
        made.write(b"one")

    assert (made.headers_sent, made.sock.pieces) == (False, [])


def test_a_client_that_has_left_is_an_oserror_and_the_response_keeps_its_connection():
    ours, client = socket.socketpair()
    client.close()
    with ours:
        made = response(sock=ours)
        with pytest.raises(OSError, match="Broken pipe"):
            made.write(b"one")
        assert made.sock is ours


def test_what_somebody_puts_in_the_place_of_a_method_can_use_the_socket_in_any_way(monkeypatch):
    def send_headers(response):
        original(response)
        sockets.append(response.sock)
        assert response.sock.fileno() == ours.fileno()
        response.sock.send(b"sent,")
        response.sock.sendall(b"all,")

    sockets = []
    original = GunicornResponse.send_headers
    monkeypatch.setattr(GunicornResponse, "send_headers", send_headers)
    ours, client = socket.socketpair()
    with ours, client:
        response(sock=ours, length=4).write(b"body")
        assert client.recv(65536).endswith(b"\r\n\r\nsent,all,body")
        sockets[0].sendall(b"later")
        assert client.recv(65536) == b"later"


def test_what_was_sent_before_an_error_is_sent(monkeypatch):
    def write(response, _):
        response.send_headers()
        raise ZeroDivisionError

    monkeypatch.setattr(GunicornResponse, "write", write)
    made = response()
    with pytest.raises(ZeroDivisionError):
        made.write(b"one")

    assert made.headers_sent
    assert made.sock.pieces[0].endswith(b"\r\n\r\n")


@given(pieces=PIECES, length=LENGTHS, method=METHODS, status=STATUSES, version=VERSIONS)
def test_the_same_bytes_are_sent_as_by_gunicorn(pieces, length, method, status, version):
    sent = []
    for kind in (GunicornResponse, Response):
        made = response(kind, method=method, version=version, status=status, length=length)
        for piece in pieces:
            made.write(piece)
        made.close()
        whole = re.sub(rb"Date: [^\r]+", b"Date: now", b"".join(made.sock.pieces))
        sent.append((whole, made.sent, made.headers_sent, made.should_close()))

    assert sent[0] == sent[1]
