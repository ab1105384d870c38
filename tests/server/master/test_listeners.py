from __future__ import annotations

import logging
import socket
from types import SimpleNamespace

import pytest
from gunicorn import sock
from gunicorn.config import Config

from stablehand_server.master import listeners

LOG = logging.getLogger(__name__)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def bound(port):
    """The listeners of a server at one free port; a test adds what it opens."""
    made = sock.create_sockets(configured(f"127.0.0.1:{port}"), LOG)
    yield made
    for each in made:
        each.close()


def configured(*addresses):
    config = Config()
    config.set("bind", list(addresses))
    return config


@pytest.fixture
def running(port):
    return configured(f"127.0.0.1:{port}")


def test_the_same_addresses_have_the_same_sockets_wherever_these_came_from(bound, running):
    handed_over = [SimpleNamespace(cfg_addr="/run/of/systemd")]

    assert listeners.rebound(bound, running, running, LOG) == bound
    assert listeners.rebound(handed_over, running, running, LOG) == handed_over


def test_an_address_that_stays_keeps_its_socket_and_new_ones_are_opened_in_the_order_of_the_configuration(
    bound, running, port, tmp_path
):
    wanted = configured(f"unix:{tmp_path}/socket", f"127.0.0.1:{port}")
    made = listeners.rebound(bound, running, wanted, LOG)
    new, old = made
    bound.append(new)

    assert old is bound[0]
    assert new.cfg_addr == f"{tmp_path}/socket"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/socket")


def test_nothing_is_closed_until_the_new_generation_serves(bound, running, port, tmp_path):
    bound += listeners.rebound(bound, running, configured(f"unix:{tmp_path}/socket"), LOG)

    with socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_socket_that_is_still_open_from_before_is_taken_up_again(bound, running, port, tmp_path):
    (first,) = bound
    elsewhere = configured(f"unix:{tmp_path}/socket")
    bound += listeners.rebound([first], running, elsewhere, LOG)

    assert listeners.rebound([bound[1]], elsewhere, running, LOG, others=[first]) == [first]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gunicorn leaves failed sockets open
def test_an_address_that_cannot_be_bound_changes_nothing_is_named_and_waits_for_nothing(
    bound, running, port, tmp_path, monkeypatch
):
    monkeypatch.setattr(sock.time, "sleep", lambda _: pytest.fail("it waits"))
    first = tmp_path / "socket"
    wanted = configured(f"unix:{first}", "192.0.2.1:81")  # an address of documentation, nobody's

    with pytest.raises(OSError, match=r"cannot listen at 192\.0\.2\.1:81: Cannot assign requested address"):
        listeners.rebound(bound, running, wanted, LOG)
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert not first.exists()


def test_a_file_that_is_no_socket_is_left_alone(bound, running, tmp_path):
    (tmp_path / "letter").write_text("dear reader")

    with pytest.raises(OSError, match=r"cannot listen at unix:.*letter: .*not a socket"):
        listeners.rebound(bound, running, configured(f"unix:{tmp_path}/letter"), LOG)
    assert (tmp_path / "letter").read_text() == "dear reader"


def test_a_descriptor_cannot_be_handed_over_by_a_reload(bound, running):
    with pytest.raises(OSError, match=r"cannot listen at fd://3: a descriptor can only be handed over at the start"):
        listeners.rebound(bound, running, configured("fd://3"), LOG)


def test_where_every_worker_has_a_socket_of_its_own_the_master_opens_none():
    before, after = configured("127.0.0.1:1"), configured("127.0.0.1:2")
    for each in (before, after):
        each.set("reuse_port", True)

    assert listeners.rebound([], before, before, LOG) == []
    assert listeners.rebound([], before, after, LOG) == []


def test_workers_cannot_change_to_sockets_of_their_own_while_the_server_serves(bound, running, port):
    wanted = configured(f"127.0.0.1:{port}")
    wanted.set("reuse_port", True)

    with pytest.raises(OSError, match="reuse_port cannot be switched on"):
        listeners.rebound(bound, running, wanted, LOG)


def test_closing_removes_the_files_of_unix_sockets_unless_another_master_listens(running, tmp_path):
    for name, unlink in (("kept", False), ("removed", True)):
        made = listeners.rebound([], running, configured(f"unix:{tmp_path}/{name}"), LOG)
        listeners.close(made, unlink=unlink)

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
