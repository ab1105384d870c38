from __future__ import annotations

import contextlib
import logging
import socket
from types import SimpleNamespace

import pytest
from gunicorn import sock
from gunicorn.config import Config

from stablehand_server import listeners

LOG = logging.getLogger(__name__)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def bound(port):
    """The listeners of a server at one free port."""
    made = sock.create_sockets(configured(f"127.0.0.1:{port}"), LOG)
    yield made
    for each in made:
        each.close()


def configured(*addresses):
    config = Config()
    config.set("bind", list(addresses))
    return config


def test_the_backlog_counts_connections_that_nobody_has_accepted(bound):
    assert listeners.backlog(bound)[0] == 0
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(bound[0].sock.getsockname()))
        waiting, limit = listeners.backlog(bound)
        assert waiting == 3
        assert limit >= 3


def test_the_backlogs_of_several_listeners_are_summed(bound):
    once, twice = listeners.backlog(bound), listeners.backlog(bound * 2)

    assert twice == (0, 2 * once[1])


def test_unix_sockets_and_closed_ones_tell_no_backlog(bound):
    closed = SimpleNamespace(FAMILY=socket.AF_INET, sock=socket.socket())
    closed.sock.close()
    unix = SimpleNamespace(FAMILY=socket.AF_UNIX, sock=None)

    assert listeners.backlog([unix, closed]) == (0, 0)


def test_a_listener_whose_address_stays_is_kept_open(bound, port):
    assert listeners.rebound(bound, configured(f"127.0.0.1:{port}"), LOG) == bound
    assert bound[0].sock.fileno() >= 0


def test_a_new_address_is_bound_and_one_that_is_gone_is_closed(bound, tmp_path):
    (old,) = bound
    bound[:] = listeners.rebound(bound, configured(f"unix:{tmp_path}/socket"), LOG)

    assert [each.cfg_addr for each in bound] == [f"{tmp_path}/socket"]
    assert old.sock is None or old.sock.fileno() < 0
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/socket")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gunicorn leaves failed sockets open
def test_an_address_that_cannot_be_bound_changes_nothing_and_is_named(bound, port, tmp_path, monkeypatch):
    monkeypatch.setattr(sock.time, "sleep", lambda _: None)  # gunicorn's pauses between five attempts
    first = tmp_path / "socket"
    wanted = configured(f"unix:{first}", "192.0.2.1:81")  # an address of documentation, nobody's

    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        listeners.rebound(bound, wanted, LOG)
    with socket.create_connection(("127.0.0.1", port)):
        pass
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError):  # noqa: PT011 (refused, or no such file)
        client.connect(str(first))
