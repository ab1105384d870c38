"""Websockets: of an ASGI app, and of a WSGI app that takes its socket over, as flask-sock and others do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from conformance.case import case
from conformance.cases.settings import ORDINARY, SHORT
from conformance.columns import ASGI
from conformance.websocket import PING, WebSocket

if TYPE_CHECKING:
    from conformance.servers import Server

GROUP = "Websockets"


@case(GROUP, ORDINARY)
def websocket_that_talks(server: Server) -> str:
    with WebSocket(server) as socket:
        if socket.status != 101:
            return str(socket.status)
        return f"{socket.echo('one')} {socket.echo('two')}; {socket.close()}"


@case(GROUP, ORDINARY, columns=ASGI)
def websocket_that_is_refused(server: Server) -> str:
    with WebSocket(server, "/ws/refused") as socket:
        return str(socket.status)


@case(GROUP, ORDINARY, columns=ASGI)
def websocket_with_a_ping(server: Server) -> str:
    with WebSocket(server) as socket:
        socket.send(PING, b"are you there")
        return f"{socket.status} {socket.receive()}; {socket.echo('yes')}"


@case(GROUP, ORDINARY)
def websocket_whose_client_leaves(server: Server) -> str:
    with WebSocket(server) as socket:
        socket.echo("one")
        socket.client.reset()
    return str(server.get("/after"))


@case(GROUP, ORDINARY)
def another_request_beside_a_websocket(server: Server) -> str:
    with WebSocket(server) as socket:
        if socket.status != 101:
            return str(socket.status)
        return f"{server.get('/beside')}; {socket.echo('one')}"


@case(GROUP, SHORT)
def websocket_that_is_quiet_for_longer_than_every_limit(server: Server) -> str:
    with WebSocket(server) as socket:
        if socket.status != 101:
            return str(socket.status)
        first = socket.echo("one")
        time.sleep(4.5)
        second = socket.echo("two")
        return f"{first} {second if second == 'two' else 'cut'}"


@case(GROUP, SHORT)
def websocket_that_talks_for_longer_than_every_limit(server: Server) -> str:
    with WebSocket(server) as socket:
        if socket.status != 101:
            return str(socket.status)
        for _ in range(9):
            if socket.echo("one") != "one":
                return "cut"
            time.sleep(0.5)
        return "all echoed"
