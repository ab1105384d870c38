"""What outlasts --timeout, --keep-alive and --graceful-timeout, which are 2, 1 and 2 seconds here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from conformance.case import case
from conformance.cases.settings import PATIENT, SHORT, STARVED
from conformance.servers import request

if TYPE_CHECKING:
    from conformance.client import Client
    from conformance.servers import Server

GROUP = "Longer than every limit"
_LONG_SECONDS = 4.5


def asked(server: Server, path: str) -> str:
    """Return how one request on a connection of its own ends."""
    with server.connect() as client:
        response = client.send(request(path)).final()
        return client.end.replace("reset", "closed") if response is None else response.cut()


@case(GROUP, SHORT)
def long_poll(server: Server) -> str:
    return asked(server, f"/poll?{_LONG_SECONDS}")


@case(GROUP, SHORT)
def event_stream_that_is_quiet(server: Server) -> str:
    return asked(server, f"/events?{_LONG_SECONDS}")


@case(GROUP, SHORT)
def download_that_takes_long(server: Server) -> str:
    return asked(server, "/download?10&0.45&1000")


@case(GROUP, SHORT)
def body_that_comes_slowly(server: Server) -> str:
    with server.connect() as client:
        parts = [bytes([byte]) for byte in b"0123456789"]
        client.send(request("/", "Content-Length: 10", method="POST"), *parts, pause=0.45)
        return str(client.final() or client.end.replace("reset", "closed"))


@case(GROUP, SHORT)
def body_with_a_pause(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 10", method="POST", body=b"01234"), b"56789", pause=_LONG_SECONDS)
        return str(client.final() or client.end.replace("reset", "closed"))


@case(GROUP, SHORT)
def headers_that_come_slowly(server: Server) -> str:
    with server.connect() as client:
        whole = request("/", "X-A: a")
        client.send(*(whole[place : place + 3] for place in range(0, len(whole), 3)), pause=0.5)
        response = client.final()
        return "cut" if response is None or response.status >= 500 else str(response)


@case(GROUP, SHORT)
def reader_that_pauses(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/big?8000000", close=True))
        client.connection.recv(1000)
        time.sleep(_LONG_SECONDS)
        response = client.response()
        return "a response" if response is None else f"{client.end or 'whole'}"


@case(GROUP, SHORT)
def kept_connection_within_keep_alive(server: Server) -> str:
    return kept(server, 0.3)


@case(GROUP, SHORT)
def kept_connection_beyond_keep_alive(server: Server) -> str:
    return kept(server, _LONG_SECONDS)


@case(GROUP, PATIENT)
def kept_connection_idle_for_7_seconds(server: Server) -> str:
    return kept(server, 7.0)


def kept(server: Server, seconds: float) -> str:
    """Ask twice on a connection, with a silence between."""
    with server.connect() as client:
        first = client.send(request("/first")).final()
        time.sleep(seconds)
        return f"{first}; then {client.second()}"


@case(GROUP, PATIENT)
def connection_opened_7_seconds_before_its_request(server: Server) -> str:
    return opened_before(server, 7.0)


@case(GROUP, PATIENT)
def connection_opened_2_seconds_before_its_request(server: Server) -> str:
    return opened_before(server, 2.0)


def opened_before(server: Server, seconds: float) -> str:
    """Open a connection, and ask for something later."""
    with server.connect() as client:
        time.sleep(seconds)
        return client.second("/late")


# Starvation: everything that can serve is busy, for longer than a client may be silent.

_BUSY_SECONDS = 2.5


class Busy:
    """Keeps all threads of a worker, or its one loop, busy while it is entered."""

    def __init__(self, server: Server) -> None:
        requests = STARVED.threads if server.column.has_threads else 1
        self._clients = [server.connect() for _ in range(requests)]

    def __enter__(self) -> Busy:  # noqa: PYI034 (Self is of a newer Python)
        for client in self._clients:
            client.send(request(f"/hold?{_BUSY_SECONDS}", close=True))
        time.sleep(0.3)  # until they are being served
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.connection.close()

    def answers(self) -> str:
        """Return what those who kept it busy were answered."""
        return " ".join(str(client.final() or client.end) for client in self._clients)


def answered(client: Client) -> str:
    """Return the response's status, or how the connection ended."""
    response = client.final()
    return client.end if response is None else str(response)


@case(GROUP, STARVED, alone=True)
def starved__kept_connection_asks_again(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/first")).final()
        with Busy(server) as busy:
            client.send(request("/again", close=True))
            return f"{answered(client).replace('reset', 'closed')}; busy {busy.answers()}"


@case(GROUP, STARVED, alone=True)
def starved__new_connection_asks(server: Server) -> str:
    with Busy(server) as busy, server.connect() as client:
        client.send(request("/new", close=True))
        return f"{answered(client)}; busy {busy.answers()}"


@case(GROUP, STARVED, alone=True)
def starved__half_of_a_request_is_completed(server: Server) -> str:
    with server.connect() as client:
        client.send(b"GET /half HTTP/1.1\r\nHo")
        time.sleep(0.1)
        with Busy(server) as busy:
            client.send(b"st: x\r\nConnection: close\r\n\r\n")
            return f"{answered(client)}; busy {busy.answers()}"


@case(GROUP, STARVED, alone=True)
def starved__half_of_a_body_is_completed(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 10", method="POST", close=True, body=b"01234"))
        time.sleep(0.1)
        with Busy(server) as busy:
            client.send(b"56789")
            return f"{answered(client)}; busy {busy.answers()}"


@case(GROUP, STARVED, alone=True)
def starved__30_clients_at_once(server: Server) -> str:
    def ask(_: int) -> int:
        answered = 0
        client = server.connect()
        for _ in range(3):
            response = client.send(request("/wait?0.1")).final()
            answered += response is not None and response.whole
            if server.column.name == "sync" or response is None or response.header("connection") == "close":
                client.connection.close()
                client = server.connect()
        client.connection.close()
        return answered

    with ThreadPoolExecutor(30) as pool:
        return f"{sum(pool.map(ask, range(30)))} of 90 answered"


PIPELINED = b"".join(request(f"/{number}") for number in range(1, 4)) + request("/last", close=True)


@case("Pipelined requests", STARVED, alone=True)
def pipelined__all_at_once(server: Server) -> str:
    with server.connect() as client:
        return client.send(PIPELINED).everything()


@case("Pipelined requests", STARVED, alone=True)
def pipelined__while_the_first_holds_the_worker(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/hold?0.6"))
        time.sleep(0.2)
        client.send(PIPELINED)
        return client.everything()


@case("Pipelined requests", STARVED, alone=True)
def pipelined__a_body_that_looks_like_a_request(server: Server) -> str:
    smuggled = request("/smuggled")
    with server.connect() as client:
        client.send(request("/hold?0.6"))
        time.sleep(0.2)
        client.send(request("/second", f"Content-Length: {len(smuggled)}", method="POST"))
        time.sleep(0.1)
        client.send(smuggled, request("/last", close=True))
        return client.everything()


@case("Pipelined requests", STARVED, alone=True)
def pipelined__many_small_pieces_while_the_worker_is_held(server: Server) -> str:
    smuggled = request("/smuggled") * 3
    whole = request("/second", f"Content-Length: {len(smuggled)}", method="POST", body=smuggled)
    whole += request("/last", close=True)
    with server.connect() as client:
        client.send(request("/hold?1"))
        time.sleep(0.2)
        client.send(*(whole[place : place + 11] for place in range(0, len(whole), 11)), pause=0.01)
        return client.everything()


@case("Pipelined requests", STARVED, alone=True)
def pipelined__500_requests(server: Server) -> str:
    with server.connect() as client:
        client.send(b"".join(request(f"/{number}") for number in range(499)) + request("/last", close=True))
        told = client.everything().split("; ")
        right = [f"200 'GET /{number}'" for number in range(499)]
        return f"in order, {told[-2]}; {told[-1]}" if told[:499] == right else f"{len(told)} in disorder: {told[:3]}"
