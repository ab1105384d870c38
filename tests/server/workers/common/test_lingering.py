from __future__ import annotations

import selectors
import socket

import pytest

from stablehand_server.workers.common.lingering import LingeringCloses


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as made:
        yield made


def test_an_app_that_closes_the_socket_later_does_not_close_what_the_selector_knows(selector):
    closes = LingeringCloses(selector)
    ours, theirs = socket.socketpair()
    closes.add(ours)
    ours.close()
    others = socket.socketpair()  # one of these would get the number
    for other in others:
        closes.add(other)

    assert len(closes) == 3
    theirs.close()
    while len(closes):
        for key, _ in selector.select(5):
            key.data(key.fileobj)


def test_a_socket_that_is_closed_already_needs_nothing(selector):
    closes = LingeringCloses(selector)
    ours, theirs = socket.socketpair()
    ours.close()
    closes.add(ours)

    assert len(closes) == 0
    theirs.close()
