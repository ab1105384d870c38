"""TLS: slow, silent and half-closed clients, and those that do not speak it."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

from conformance.case import case
from conformance.cases.settings import SECURE
from conformance.client import Client
from conformance.servers import request

if TYPE_CHECKING:
    import socket

    from conformance.servers import Server

GROUP = "TLS"


@case(GROUP, SECURE)
def tls__two_requests(server: Server) -> str:
    with server.connect() as client:
        return f"{client.send(request('/peer')).final()}; then {client.second()}"


@case(GROUP, SECURE)
def tls__pipelined(server: Server) -> str:
    with server.connect() as client:
        return (
            client.send(request("/1") + request("/2") + request("/3", close=True))
            .everything()
            .replace("reset", "closed")
        )


@case(GROUP, SECURE)
def tls__body_of_1_mb(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 1000000", method="POST", body=b"x" * 1_000_000))
        return f"{client.final()}; then {client.second()}"


@case(GROUP, SECURE)
def tls__response_of_5_mb(server: Server) -> str:
    return str(server.get("/big?5000000"))


@case(GROUP, SECURE)
def tls__response_of_5_mb_to_a_slow_reader(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/big?5000000", close=True))
        time.sleep(1.0)
        return str(client.final())


@case(GROUP, SECURE)
def tls__unread_body_of_1_mb(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/unread", "Content-Length: 1000000", method="POST", body=b"x" * 1_000_000))
        return f"{client.final() or client.end}"


@case(GROUP, SECURE)
def tls__handshake_that_begins_late(server: Server) -> str:
    connection = server.open()
    time.sleep(1.5)
    with Client(_wrapped(connection)) as client:
        return client.send(request("/late", close=True)).everything().replace("reset", "closed")


@case(GROUP, SECURE)
def tls__handshake_that_trickles(server: Server) -> str:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = _context().wrap_bio(incoming, outgoing)
    with server.open() as connection:
        try:
            _handshake(secure, incoming, outgoing, connection)
            secure.write(request("/trickled", close=True))
            connection.sendall(outgoing.read())
            return secure_answer(secure, incoming, connection)
        except OSError as error:
            return type(error).__name__


@case(GROUP, SECURE)
def tls__request_that_comes_late(server: Server) -> str:
    with server.connect() as client:
        time.sleep(1.5)
        return client.second("/late")


@case(GROUP, SECURE)
def tls__half_closed(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/wait?0.3")).finish()
        return client.everything().replace("reset", "closed")


@case(GROUP, SECURE)
def tls__client_without_it(server: Server) -> str:
    with Client(server.open()) as client:
        told = client.send(request("/plain")).everything()
    return f"{told.replace('reset', 'closed')}; others {server.get('/others')}"


@case(GROUP, SECURE, alone=True)  # the silent ones may hold all of sync's workers
def tls__others_are_served_while_one_is_silent(server: Server) -> str:
    with server.open(), server.open():
        return str(server.get("/others", seconds=8.0) or "nobody is served")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _wrapped(connection: socket.socket) -> ssl.SSLSocket:
    return _context().wrap_socket(connection)


def _handshake(
    secure: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, connection: socket.socket
) -> None:
    while True:
        try:
            secure.do_handshake()
        except ssl.SSLWantReadError:  # noqa: PERF203 (that is how it says what it wants)
            _trickle(outgoing.read(), connection)
            incoming.write(_received(connection))
        else:
            _trickle(outgoing.read(), connection)
            return


def _trickle(data: bytes, connection: socket.socket) -> None:
    for place in range(0, len(data), 100):
        connection.sendall(data[place : place + 100])
        time.sleep(0.1)


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise ConnectionAbortedError
    return received


def secure_answer(secure: ssl.SSLObject, incoming: ssl.MemoryBIO, connection: socket.socket) -> str:
    """Return the first line of the answer."""
    while True:
        try:
            return secure.read(65536).split(b"\r\n")[0].decode()
        except ssl.SSLWantReadError:  # noqa: PERF203 (that is how it says what it wants)
            incoming.write(_received(connection))
