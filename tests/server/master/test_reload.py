from __future__ import annotations

import signal
import socket

import pytest

from stablehand_dev.load import BackgroundLoad, Load
from stablehand_tuner.contracts.settings import WorkerClass

pytestmark = pytest.mark.integration

PLAIN = "wsgi_app = 'serving:app'\n"
NOBODYS = "192.0.2.1:81"  # an address of documentation


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "gunicorn.conf.py"
    path.write_text(PLAIN)
    return path


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("preload_app = True\nwsgi_app = 'no_such_module:app'\n", "No module named 'no_such_module'"),
        (PLAIN + "raw_env = ['no value']\n", "environment setting 'no value' invalid"),
    ],
)
def test_a_configuration_that_fails_only_when_it_is_used_is_refused_too(launch, until, configuration, content, fault):
    server = launch(app=f"--config={configuration}")
    workers = server.workers()

    configuration.write_text(content)
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("rejected") == 1)
    assert fault in server.log()
    assert server.workers() == workers
    assert server.get()[0] == 200


@pytest.mark.parametrize(
    "content",
    [
        "def on_reload(server):\n    raise ValueError('a hook of the user')\n",
        "pidfile = '/proc/no/such/folder/pid'\n",
    ],
)
def test_what_fails_beside_the_workers_does_not_stop_a_reload(launch, until, configuration, content):
    server = launch(app=f"--config={configuration}")
    configuration.write_text(PLAIN + "workers = 2\n" + content)
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1 and server.settled(2))
    assert "Part of the reload failed" in server.log()


def test_a_reload_may_begin_to_preload_the_app(launch, until, configuration):
    server = launch(app=f"--config={configuration}")
    configuration.write_text(PLAIN + "preload_app = True\n")
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1 and server.settled(1))
    assert server.get()[0] == 200


@pytest.fixture
def ports():
    """Two free ports of this machine."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return numbers


@pytest.fixture
def listening(launch, configuration):
    """Return a function that starts a server which listens where its configuration file says."""

    def launch_listening(*addresses, flags=()):
        bind_to(configuration, *addresses)
        return launch(*flags, app=f"--config={configuration}", bind_by_file=True)

    return launch_listening


def bind_to(configuration, *addresses, more=""):
    configuration.write_text(f"{PLAIN}bind = {list(addresses)!r}\n{more}")


def load_on(port):
    return BackgroundLoad(Load(f"http://127.0.0.1:{port}/", connections=8, duration=60, keep_alive=False))


def answers(server, port):
    """Tell whether the server answers at the port; False where the connection is refused."""
    try:
        return server.get(port=port)[0] == 200
    except ConnectionRefusedError:
        return False


def test_an_address_that_cannot_be_bound_is_refused_at_once_and_no_request_waits_for_it(
    listening, until, configuration, ports
):
    server = listening(f"127.0.0.1:{ports[0]}")
    with load_on(ports[0]) as load:
        until(lambda: load.last().completed)
        bind_to(configuration, f"127.0.0.1:{ports[0]}", NOBODYS)
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("rejected") == 1, seconds=3)
        result = load.stop()

    assert "cannot listen at 192.0.2.1:81: Cannot assign requested address" in server.log()
    assert result.failures == {}, result.examples


def test_the_old_address_is_served_until_the_new_one_is_and_then_closed(
    listening, until, configuration, ports, tmp_path
):
    old, new = ports
    path = tmp_path / "socket"
    server = listening(f"127.0.0.1:{old}", f"unix:{path}")
    assert path.exists()
    server.boot_fault.write_text("slow")
    bind_to(configuration, f"127.0.0.1:{new}")
    server.signal(signal.SIGHUP)
    until(lambda: server.metric("workers", state="booting") == 1)
    assert answers(server, old)
    until(lambda: server.switches("done") == 1 and server.settled(1))

    assert answers(server, new)
    assert not answers(server, old)
    assert not path.exists()


def test_a_reload_of_other_addresses_whose_app_does_not_boot_is_undone_with_all_that_belongs_to_it(
    listening, until, configuration, ports, tmp_path
):
    old, new = ports
    pidfile, other_pidfile = tmp_path / "pid", tmp_path / "other-pid"
    server = listening(f"127.0.0.1:{old}")
    bind_to(configuration, f"127.0.0.1:{old}", more=f"pidfile = {str(pidfile)!r}\n")
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("done") == 1 and server.settled(1) and pidfile.exists())
    open_files = server.open_files()
    with load_on(old) as load:
        until(lambda: load.last().completed)
        server.boot_fault.write_text("a bad release")
        bind_to(
            configuration, f"127.0.0.1:{new}", f"unix:{tmp_path}/socket", more=f"pidfile = {str(other_pidfile)!r}\n"
        )
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("rolled_back") == 1)
        assert not answers(server, new)
        server.boot_fault.unlink()
        result = load.stop()

    assert result.failures == {}, result.examples
    assert not (tmp_path / "socket").exists()
    assert pidfile.read_text().strip() == str(server.process.pid)
    assert not other_pidfile.exists()
    until(lambda: server.open_files() == open_files)
    server.configure("gthread", 2, 2)  # and new workers listen where the old ones do
    assert answers(server, old)


def test_a_second_reload_while_the_first_one_boots_may_go_back_to_the_old_address(
    listening, until, configuration, ports
):
    old, new = ports
    server = listening(f"127.0.0.1:{old}")
    with load_on(old) as load:
        until(lambda: load.last().completed)
        server.boot_fault.write_text("hang")
        bind_to(configuration, f"127.0.0.1:{new}")
        server.signal(signal.SIGHUP)
        until((server.directory / "boot-hangs").exists)  # a worker that is only booting may yet find no fault
        server.boot_fault.unlink()
        bind_to(configuration, f"127.0.0.1:{old}")
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("done") == 1 and server.settled(1))
        assert not answers(server, new)
        result = load.stop()

    assert result.failures == {}, result.examples


def test_workers_cannot_get_sockets_of_their_own_by_a_reload(listening, until, configuration, ports):
    port = ports[0]
    server = listening(f"127.0.0.1:{port}")
    bind_to(configuration, f"127.0.0.1:{port}", more="reuse_port = True\n")
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("rejected") == 1)
    assert "reuse_port cannot be switched on" in server.log()
    assert answers(server, port)


def test_with_reuse_port_a_reload_leaves_no_socket_without_a_worker(listening, until, configuration, ports):
    port = ports[0]
    server = listening(f"127.0.0.1:{port}", flags=("--reuse-port",))
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("done") == 1 and server.settled(1))

    for _ in range(20):  # the kernel deals connections out to all sockets of the port
        assert answers(server, port)


@pytest.mark.parametrize("worker_class", [each.value for each in WorkerClass])
def test_a_single_worker_that_has_served_enough_serves_until_its_slowly_booting_successor_does(
    launch, until, worker_class
):
    server = launch("--max-requests", "30", "--worker-class", worker_class)
    server.boot_fault.write_text("slow")
    with server.load(4) as load:
        until(lambda: server.metric("worker_exits_total", reason="max_requests") >= 2)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert result.latencies.quantile(1) < 0.8, "requests waited for a boot, which takes a second"
    assert server.metric("worker_exits_total", reason="error") == 0
