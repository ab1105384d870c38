from __future__ import annotations

import socket

import pytest

from stablehand_server.workers.common.watched_client import WatchedClient


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield WatchedClient(ours), theirs


def test_a_client_that_sends_no_request_in_time_reads_the_end_of_the_stream(pair):
    client, _ = pair
    client.await_request(2.0)
    client.look(100.0)
    client.look(101.9)
    assert client.idle

    client.look(102.1)
    assert client.recv(10) == b""


def test_the_time_counts_anew_for_each_request(pair):
    client, theirs = pair
    client.await_request(2.0)
    client.look(100.0)
    client.await_request(2.0)
    client.look(103.0)
    client.look(104.9)
    theirs.sendall(b"GET")

    assert client.recv(10) == b"GET"


def test_a_request_that_came_while_the_hub_was_blocked_is_read_although_its_time_is_over(pair):
    client, theirs = pair
    client.await_request(2.0)
    client.look(100.0)
    theirs.sendall(b"GET")
    client.look(110.0)
    assert client.recv(10) == b"GET"

    theirs.sendall(b" /")
    assert client.recv(10) == b" /"  # the stream has not ended


def test_a_header_that_does_not_come_to_its_end_has_thirty_seconds_from_its_first_byte(pair):
    client, theirs = pair
    client.await_request(2.0)
    client.look(100.0)
    theirs.sendall(b"GET")
    client.recv(10)
    client.look(101.0)
    client.look(130.9)
    theirs.sendall(b" /")
    assert client.recv(10) == b" /"

    client.look(131.1)
    assert client.recv(10) == b""


def test_while_a_request_is_served_its_client_may_take_any_time(pair):
    client, theirs = pair
    client.await_request(2.0)
    theirs.sendall(b"POST")
    client.recv(10)
    client.wait_no_more()
    client.look(100.0)
    client.look(10_000.0)
    theirs.sendall(b"body")

    assert client.recv(10) == b"body"
    assert not client.idle


def test_a_client_that_has_gone_is_no_error(pair):
    client, theirs = pair
    theirs.close()
    client.await_request(2.0)
    client.give_up()
    client.give_up()

    assert client.recv(10) == b""


def test_a_header_may_take_as_long_as_gunicorn_would_let_it():
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        client = WatchedClient(ours, header_seconds=75.0)
        client.await_request(75.0)
        theirs.sendall(b"GET")
        client.recv(10)
        client.look(100.0)
        client.look(174.9)
        theirs.sendall(b" /")
        assert client.recv(10) == b" /"

        client.look(175.1)
        assert client.recv(10) == b""
