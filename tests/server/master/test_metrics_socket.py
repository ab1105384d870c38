from __future__ import annotations

import logging
import os
import socket

import pytest

from stablehand_server.config.metrics_address import Address, DefaultAddress
from stablehand_server.master import metrics_socket
from stablehand_server.master.metrics_socket import MetricsSocket
from stablehand_server.shared_memory import Server, Slots


@pytest.fixture
def port():
    """The first of some ports that are free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def shared():
    return Slots()


@pytest.fixture
def handed_over():
    """One entry for each time at which the exporter had to let go."""
    return []


@pytest.fixture
def metrics(shared, handed_over):
    made = MetricsSocket(shared, logging.getLogger(__name__), lambda: handed_over.append(1))
    yield made
    made.close()


def reached(address):
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as client:
        return client.connect_ex(tuple(address)) == 0


def test_an_address_that_was_asked_for_is_taken_or_refused(metrics, port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        metrics.open(Address("127.0.0.1", port))
    assert metrics.socket is None
    metrics.open(Address("127.0.0.1", port))

    assert metrics.bound == ("127.0.0.1", port)
    assert reached(metrics.bound)


def test_a_default_that_is_taken_is_the_next_free_port(metrics, port):
    with socket.create_server(("127.0.0.1", port)):
        metrics.open(DefaultAddress("127.0.0.1", port))

        assert metrics.bound.port > port
        assert reached(metrics.bound)


def test_a_name_is_looked_up(metrics, port):
    metrics.open(Address("localhost", port))

    assert metrics.bound.host in {"127.0.0.1", "::1"}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_every_address_of_ipv6_is_every_address_of_ipv4_too(metrics, port):
    metrics.open(Address("::", port))

    assert reached(("127.0.0.1", port))
    assert reached(("::1", port))
    assert metrics_socket.to_connect_to(metrics.bound) == ("::1", port)


def test_a_move_binds_the_new_address_first(metrics, port, handed_over):
    metrics.open(Address("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            metrics.move(Address("127.0.0.1", taken.getsockname()[1]))
        assert reached(("127.0.0.1", port))
        assert not handed_over
        other = taken.getsockname()[1]
    metrics.move(Address("127.0.0.1", other))

    assert reached(("127.0.0.1", other))
    assert not reached(("127.0.0.1", port))
    assert handed_over


def test_a_move_to_another_host_with_the_same_port_succeeds_or_changes_nothing(metrics, port):
    metrics.open(Address("127.0.0.1", port))
    metrics.move(Address("0.0.0.0", port))
    assert metrics.bound == ("0.0.0.0", port)
    with pytest.raises(OSError, match="assign"):
        metrics.move(Address("203.0.113.1", port))

    assert metrics.bound == ("0.0.0.0", port)
    assert reached(("127.0.0.1", port))


def test_metrics_may_be_switched_off_and_on(metrics, port):
    metrics.open(Address("127.0.0.1", port))
    metrics.move(None)
    assert not reached(("127.0.0.1", port))
    metrics.move(Address("127.0.0.1", port))

    assert reached(("127.0.0.1", port))


def test_the_default_gives_way_to_code_that_binds_its_port_in_the_same_process(metrics, port, handed_over):
    metrics.open(DefaultAddress("127.0.0.1", port))
    with socket.create_server(("", port)):
        assert metrics.bound.port > port
        assert reached(metrics.bound)
    assert handed_over


def test_the_default_gives_way_to_a_worker_that_asks_when_the_master_looks(metrics, port, shared):
    metrics.open(DefaultAddress("127.0.0.1", port))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with socket.create_server(("127.0.0.1", port)):
                status = 0
        finally:
            os._exit(status)
    while not shared.server[Server.PORT_WANTED]:
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    metrics.give_way_if_asked()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reached(metrics.bound)


def test_an_address_that_was_asked_for_is_kept(metrics, port):
    metrics.open(Address("127.0.0.1", port))
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))

    assert metrics.bound.port == port


@pytest.mark.parametrize("elsewhere", ["another port", "another host", "UDP", "Unix"])
def test_sockets_that_are_not_in_the_way_move_nothing(metrics, port, elsewhere, tmp_path):
    metrics.open(DefaultAddress("127.0.0.1", port))
    families = {"UDP": (socket.AF_INET, socket.SOCK_DGRAM), "Unix": (socket.AF_UNIX, socket.SOCK_STREAM)}
    address = {
        "another port": ("127.0.0.1", 0),
        "another host": ("127.0.0.2", port),
        "UDP": ("127.0.0.1", port),
        "Unix": str(tmp_path / "socket"),
    }
    with socket.socket(*families.get(elsewhere, (socket.AF_INET, socket.SOCK_STREAM))) as other:
        other.bind(address[elsewhere])

    assert metrics.bound.port == port


def test_no_child_keeps_the_socket_but_the_one_that_should(metrics, port):
    metrics.open(Address("127.0.0.1", port))

    def open_in_a_child():
        child = os.fork()
        if child == 0:
            os._exit(metrics.socket is not None)
        return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert not open_in_a_child()
    with metrics.kept():
        assert open_in_a_child()


def test_a_second_master_takes_the_socket_of_the_first_where_it_listens_as_it_should(metrics, port, shared):
    metrics.open(Address("127.0.0.1", port))
    second = MetricsSocket(shared, logging.getLogger(__name__), lambda: None)
    assert not second.adopt(os.dup(metrics.socket.fileno()), Address("127.0.0.1", port + 1))
    for wanted in (Address("localhost", port), DefaultAddress("127.0.0.1", 9464)):
        assert second.adopt(os.dup(metrics.socket.fileno()), wanted)
        assert second.bound == ("127.0.0.1", port)
        second.close()
