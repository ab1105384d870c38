"""A connection whose write side is closed belongs to the worker alone."""

from __future__ import annotations

import socket
import ssl

import pytest

from stablehand_server.workers.common.half_closed import HalfClosed


def wait_no_longer(fileno, seconds):
    raise TimeoutError


@pytest.fixture
def pair():
    ours, client = socket.socketpair()
    with ours, client:
        yield ours, client


def test_the_client_sees_the_end_and_what_it_sends_is_discarded(pair):
    ours, client = pair
    half_closed = HalfClosed(wait_no_longer)
    plain = half_closed.take(ours)
    assert (client.recv(10), len(half_closed), ours.fileno()) == (b"", 1, -1)

    client.sendall(b"more")
    half_closed.close_when_done(plain)
    assert (len(half_closed), plain.fileno()) == (0, -1)


def test_a_client_that_has_left_is_closed_at_once(pair):
    ours, _ = pair
    ours.shutdown(socket.SHUT_RDWR)
    ours.close()
    half_closed = HalfClosed(wait_no_longer)

    assert half_closed.take(ours) is None
    assert len(half_closed) == 0


def test_code_of_the_apps_that_holds_the_tls_socket_can_no_longer_write_to_its_descriptor(pair):
    ours, _ = pair
    secure = ssl.create_default_context().wrap_socket(ours, server_hostname="x", do_handshake_on_connect=False)
    plain = HalfClosed(wait_no_longer).take(secure)
    try:
        with pytest.raises(ValueError, match="No SSL wrapper"):
            secure.unwrap()
    finally:
        plain.close()
