from __future__ import annotations

import contextlib
import logging
import socket
from types import SimpleNamespace

import pytest
from gunicorn import sock
from gunicorn.config import Config

from stablehand_server.measure.backlog import backlog

LIMIT = 64


@pytest.fixture
def listening(tmp_path):
    """Three listeners: TCP, TCP over IPv6 and a Unix socket."""
    config = Config()
    config.set("backlog", LIMIT)
    made = [
        sock.TCPSocket(("127.0.0.1", 0), config, logging.getLogger(__name__)),
        sock.TCP6Socket(("::1", 0), config, logging.getLogger(__name__)),
        sock.UnixSocket(str(tmp_path / "socket"), config, logging.getLogger(__name__)),
    ]
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize("which", range(3))
def test_connections_that_are_not_accepted_wait(listening, which):
    listener = listening[which]
    assert backlog([listener]) == (0, LIMIT)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket(listener.FAMILY))
            client.connect(listener.sock.getsockname())
        assert backlog([listener]) == (3, LIMIT)
        accepted, _ = listener.sock.accept()
        stack.enter_context(accepted)
        assert backlog([listener]) == (2, LIMIT)


def test_listeners_of_all_kinds_are_summed(listening):
    with contextlib.ExitStack() as stack:
        for listener in listening:
            client = stack.enter_context(socket.socket(listener.FAMILY))
            client.connect(listener.sock.getsockname())
        assert backlog(listening) == (3, 3 * LIMIT)


def test_what_is_closed_or_does_not_tell_counts_as_nothing(listening):
    closed = SimpleNamespace(FAMILY=socket.AF_INET, sock=socket.socket())
    closed.sock.close()
    gone = SimpleNamespace(FAMILY=socket.AF_UNIX, sock=None)
    other = SimpleNamespace(FAMILY=socket.AF_NETLINK, sock=None)
    with socket.socket(socket.AF_UNIX) as nobody:
        unbound = SimpleNamespace(FAMILY=socket.AF_UNIX, sock=nobody)

        assert backlog([closed, gone, other, unbound]) == (0, 0)
