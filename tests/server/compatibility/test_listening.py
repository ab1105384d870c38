from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ipaddress
import os
import signal
import socket
import ssl
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.integration

CLASSES = ["sync", "gthread", "gevent"]
# What systemd does: the descriptors from 3 on are listeners, and say so with the process's own id.
ACTIVATE = """
import os, sys
descriptor, command = int(sys.argv[1]), sys.argv[2:]
os.dup2(descriptor, 3)
os.execvpe(command[0], command, {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""


@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_unix_socket_and_a_port_at_once(run, until, over_unix, worker_class):
    program = run("--bind", "unix:here.sock", "--worker-class", worker_class).ready()
    path = program.directory / "here.sock"

    assert program.get(over_unix(path)).startswith("http ")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))
    assert program.get(over_unix(path))
    assert program.get()
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=20) == 0
    assert not path.exists()


def test_the_umask_and_the_rights_of_a_unix_socket_are_gunicorns(run, until, over_unix, commands):
    modes = {}
    for name, command in commands.items():
        program = run("--umask", "007", command=command, bind="unix:here.sock")
        path = program.directory / "here.sock"
        until(lambda program=program, path=path: program.get(over_unix(path)))
        modes[name] = path.stat().st_mode

    assert modes["stablehand-server"] == modes["gunicorn"]


@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_listener_of_systemd_is_served_kept_over_a_reload_and_left_to_systemd(run, until, commands, worker_class):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        activated = (sys.executable, "-c", ACTIVATE, str(listener.fileno()), *commands["stablehand-server"])
        program = run("--worker-class", worker_class, command=activated, bind="", pass_fds=[listener.fileno()])
        program.port = port
        program.ready()
        program.process.send_signal(signal.SIGHUP)
        until(lambda: program.rolled(1))
        assert program.get()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=20) == 0

        with socket.create_connection(("127.0.0.1", port), timeout=5):  # waits for the next server
            pass


def test_systemd_is_told_that_the_server_is_ready(run, tmp_path, until):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        path = tmp_path / "notify"
        notifications.bind(str(path))
        notifications.settimeout(20)
        run(env={**os.environ, "NOTIFY_SOCKET": str(path)})

        assert b"READY=1" in notifications.recv(4096)


@pytest.mark.parametrize("worker_class", CLASSES)
def test_with_reuse_port_each_worker_listens_for_itself_and_reloads(run, until, running, worker_class):
    program = run("--reuse-port", "--workers", "2", "--worker-class", worker_class).ready()
    until(lambda: len({program.get() for _ in range(40)}) == 2)
    first = set(running(program))
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))
    until(lambda: len(running(program)) == 3)

    assert not first & set(running(program)) - {program.process.pid}
    until(program.get)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The files of a certificate for 127.0.0.1 and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("certificate")
    (directory / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert.pem", directory / "key.pem"


@pytest.mark.parametrize("worker_class", [*CLASSES, "tornado", "asgi"])
def test_tls_is_spoken_and_a_client_that_speaks_plainly_does_no_harm(run, until, certificate, worker_class):
    cert, key = certificate
    flags = ("--certfile", str(cert), "--keyfile", str(key), "--worker-class", worker_class)
    program = run(*flags)
    trusting = ssl.create_default_context(cafile=str(cert))

    def answer():
        return program.get(http.client.HTTPSConnection("127.0.0.1", program.port, context=trusting, timeout=10))

    until(answer)
    assert answer().startswith("https ")
    with contextlib.suppress(ConnectionError), program.connect() as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.recv(100)
    assert answer().startswith("https ")
