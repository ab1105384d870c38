"""What an app answers, in order and out of it, and how it is framed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Case, add, case
from conformance.cases.settings import ORDINARY
from conformance.columns import ALL, ASGI, STREAMING, WSGI
from conformance.servers import request, wait_until

if TYPE_CHECKING:
    from conformance.servers import Server

GROUP = "Responses"


def asked(
    server: Server, path: str, *lines: str, method: str = "GET", version: str = "1.1", promise: bool = False
) -> str:
    """Ask for a path; tell response, framing, and whether a second request on the connection is answered.

    `promise` shows the response's Connection header, too.
    """
    head = "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *lines, "", ""]).encode()
    with server.connect() as client:
        response = client.send(head).final(head=method == "HEAD")
        if response is None:
            return client.end
        shown = [response.framing, *([response.header("connection").lower()] if promise else [])]
        return f"{response} ({', '.join(filter(None, shown))}); then {client.second()}"


TABLE = {
    "response of a known length": ("/sized", ALL),
    "response in pieces": ("/chunks", ALL),
    "response of 5 MB": ("/big?5000000", ALL),
    "204": ("/no-content", ALL),
    "204 with a body": ("/no-content-with-body", ALL),
    "304": ("/not-modified", ALL),
    "more than Content-Length": ("/too-long", ALL),
    "less than Content-Length": ("/too-short", ALL),
    "app raises before it has started": ("/raising?before", ALL),
    "app raises after it has started": ("/raising?after", ALL),
    "app raises midway": ("/raising-midway", ALL),
    "app raises midway in a known length": ("/raising-midway?length", ALL),
    "response started twice": ("/start-twice", ALL),
    "response not started": ("/unstarted", ALL),
    "app returns without an answer": ("/silent", ASGI),
    "app returns None": ("/none", WSGI),
    "body of text instead of bytes": ("/text", ALL),
    "error page by exc_info": ("/exc-info", WSGI),
    "error page by exc_info, too late": ("/exc-info?late", WSGI),
    "write()": ("/writing", WSGI),
    "line break in a header": ("/injecting", ALL),
    "Connection: close by the app": ("/hop-by-hop", ALL),
    "file by wsgi.file_wrapper": ("/file", WSGI),
    "early hints": ("/early-hints", WSGI),
    "keys of the environ": ("/environ-names", WSGI),
    "environ": ("/environ/caf%C3%A9%20x?a=%2F&b=1", WSGI),
    "scope": ("/environ/caf%C3%A9%20x?a=%2F&b=1", ASGI),
}


def _declare(name: str, path: str, columns: frozenset[str]) -> None:
    add(Case(name, GROUP, lambda server: asked(server, path), ORDINARY, columns))


for _name, (_path, _columns) in TABLE.items():
    _declare(_name, _path, _columns)


@case(GROUP, ORDINARY, name="HEAD")
def head(server: Server) -> str:
    return asked(server, "/sized", method="HEAD")


@case(GROUP, ORDINARY, name="HEAD of an app that sends a body")
def head_of_an_app_that_sends_a_body(server: Server) -> str:
    return asked(server, "/", method="HEAD")


@case(GROUP, ORDINARY, name="HEAD of a response in pieces")
def head_of_a_response_in_pieces(server: Server) -> str:
    return asked(server, "/chunks", method="HEAD")


@case(GROUP, ORDINARY, name="HTTP/1.0")
def http_1_0(server: Server) -> str:
    return asked(server, "/sized", version="1.0", promise=True)


@case(GROUP, ORDINARY, name="HTTP/1.0 with keep-alive")
def http_1_0_with_keep_alive(server: Server) -> str:
    return asked(server, "/sized", "Connection: keep-alive", version="1.0", promise=True)


@case(GROUP, ORDINARY, name="HTTP/1.0, a response in pieces")
def http_1_0_with_a_response_in_pieces(server: Server) -> str:
    return asked(server, "/chunks", version="1.0", promise=True)


@case(GROUP, ORDINARY, name="HTTP/1.0 with keep-alive, a response in pieces")
def http_1_0_with_keep_alive_and_a_response_in_pieces(server: Server) -> str:
    return asked(server, "/chunks", "Connection: keep-alive", version="1.0", promise=True)


@case(GROUP, ORDINARY)
def keep_alive_and_close_in_one_header(server: Server) -> str:
    return asked(server, "/sized", "Connection: keep-alive, close", promise=True)


@case(GROUP, ORDINARY)
def headers_of_a_response(server: Server) -> str:
    response = server.get("/sized")
    return "none" if response is None else ", ".join(sorted(name for name, _ in response.headers))


@case(GROUP, ORDINARY)
def page_of_a_bad_request(server: Server) -> str:
    with server.connect() as client:
        response = client.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: a\r\n\r\n").final()
        return client.end if response is None else f"{response.status} {response.body!r}"


@case(GROUP, ORDINARY)
def page_of_an_app_that_raises(server: Server) -> str:
    response = server.get("/raising?before")
    return "none" if response is None else f"{response.status} {response.body!r}"


def _closed(server: Server, name: str) -> str:
    path = server.directory / name
    wait_until(lambda: path.exists() and path.read_text())
    return path.read_text().strip().replace("\n", ", ")


@case(GROUP, ORDINARY)
def close_after_the_last_piece(server: Server) -> str:
    told = asked(server, "/closing?closing-ordinary")
    return f"{told}; {_closed(server, 'closing-ordinary')}"


@case(GROUP, ORDINARY)
def close_after_an_exception(server: Server) -> str:
    told = asked(server, "/closing?closing-raise")
    return f"{told}; {_closed(server, 'closing-raise')}"


@case(GROUP, ORDINARY, name="close after HEAD")
def close_after_head(server: Server) -> str:
    told = asked(server, "/closing?closing-head", method="HEAD")
    return f"{told}; {_closed(server, 'closing-head')}"


@case(GROUP, ORDINARY, columns=STREAMING)
def client_leaves_within_a_response(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/endless?closing-left"))
        client.connection.recv(1000)
        client.reset()
    return _closed(server, "closing-left")


@case(GROUP, ORDINARY, columns=STREAMING)
def client_closes_within_a_response(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/endless?closing-closed"))
        client.connection.recv(1000)
    return _closed(server, "closing-closed")


@case(GROUP, ORDINARY)
def client_leaves_within_its_request(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 1000", method="POST", body=b"abc"))
        client.reset()
    return str(server.get("/after"))


@case(GROUP, ORDINARY)
def reader_that_is_slow(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/big?3000000", close=True))
        received = 0
        for size in [1000] * 20 + [10_000_000] * 3000:
            client.connection.settimeout(20)
            piece = client.connection.recv(min(size, 65536))
            if not piece:
                break
            received += len(piece)
        return "all of it" if received > 3_000_000 else f"{received} bytes"
