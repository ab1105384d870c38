"""Bodies that arrive slowly, or are not read, and what follows them on the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import case
from conformance.cases.settings import ORDINARY
from conformance.columns import WSGI
from conformance.servers import request, wait_until

if TYPE_CHECKING:
    from conformance.servers import Server

GROUP = "Request bodies"
PROBE = request("/probe", close=True)
_AT_ONCE_SECONDS = 3.0  # a class that reads the whole body first answers nothing until then


def posted(server: Server, path: str, body: bytes, *lines: str) -> str:
    """Post a body in one go, and tell what comes of it and of a request behind it."""
    with server.connect() as client:
        client.send(request(path, f"Content-Length: {len(body)}", *lines, method="POST", body=body))
        first = client.final()
        if first is None:
            return client.end
        return f"{first}; then {client.second()}"


@case(GROUP, ORDINARY)
def body_that_is_read(server: Server) -> str:
    return posted(server, "/", b"hello")


@case(GROUP, ORDINARY, name="body of 5 MB that is read")
def body_of_5_mb_that_is_read(server: Server) -> str:
    return posted(server, "/", b"x" * 5_000_000)


@case(GROUP, ORDINARY)
def unread_body_of_10_bytes(server: Server) -> str:
    return posted(server, "/unread", b"x" * 10)


@case(GROUP, ORDINARY, name="unread body of 100 kB")
def unread_body_of_100_kb(server: Server) -> str:
    return posted(server, "/unread", b"x" * 100_000)


@case(GROUP, ORDINARY, name="unread body of 1 MB")
def unread_body_of_1_mb(server: Server) -> str:
    return posted(server, "/unread", b"x" * 1_000_000)


@case(GROUP, ORDINARY, name="unread body of 5 MB")
def unread_body_of_5_mb(server: Server) -> str:
    return posted(server, "/unread", b"x" * 5_000_000)


@case(GROUP, ORDINARY, name="body of 100 kB of which 3 bytes are read")
def body_of_100_kb_of_which_3_bytes_are_read(server: Server) -> str:
    return posted(server, "/partly", b"x" * 100_000)


@case(GROUP, ORDINARY)
def unread_body_in_chunks(server: Server) -> str:
    body = b"8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n"
    with server.connect() as client:
        client.send(request("/unread", "Transfer-Encoding: chunked", method="POST", body=body))
        first = client.final()
        return f"{first}; then {client.second()}"


@case(GROUP, ORDINARY)
def unread_body_that_looks_like_a_request(server: Server) -> str:
    return posted(server, "/unread", request("/smuggled"))


@case(GROUP, ORDINARY)
def response_before_the_body_has_come(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/unread", "Content-Length: 100000", method="POST"))
        first = client.final(seconds=_AT_ONCE_SECONDS)
        client.send(b"x" * 100_000)
        return f"{first}; then {client.second()}"


@case(GROUP, ORDINARY)
def response_before_the_body_is_read(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/early", "Content-Length: 200000", method="POST"))
        first = client.final(seconds=_AT_ONCE_SECONDS)
        client.send(b"x" * 200_000)
        noted = server.directory / "read-early"
        wait_until(lambda: noted.exists() and noted.read_text())
        read = noted.read_text()
        client.send(PROBE)
        return f"{first}; read {read}; then {client.everything()}"


@case(GROUP, ORDINARY)
def body_that_trickles(server: Server) -> str:
    with server.connect() as client:
        parts = [bytes([byte]) for byte in b"0123456789"]
        client.send(request("/", "Content-Length: 10", method="POST"), *parts, PROBE, pause=0.1)
        return client.everything()


@case(GROUP, ORDINARY)
def request_that_trickles(server: Server) -> str:
    with server.connect() as client:
        whole = request("/", "X-A: a") + PROBE
        client.send(*(whole[place : place + 7] for place in range(0, len(whole), 7)), pause=0.05)
        return client.everything()


@case(GROUP, ORDINARY)
def chunks_that_trickle(server: Server) -> str:
    with server.connect() as client:
        parts = [bytes([byte]) for byte in b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"]
        client.send(request("/", "Transfer-Encoding: chunked", method="POST"), *parts, PROBE, pause=0.05)
        return client.everything()


@case(GROUP, ORDINARY)
def body_that_ends_too_soon(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 10", method="POST", body=b"abc")).finish()
        return client.everything()


@case(GROUP, ORDINARY)
def chunk_that_ends_too_soon(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Transfer-Encoding: chunked", method="POST", body=b"5\r\nabc")).finish()
        return client.everything()


@case(GROUP, ORDINARY)
def headers_that_end_too_soon(server: Server) -> str:
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a").finish()
        return client.everything()


@case(GROUP, ORDINARY)
def half_closed_after_the_request(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/wait?0.3")).finish()
        return client.everything()


@case(GROUP, ORDINARY)
def half_closed_after_the_body(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/wait?0.3", "Content-Length: 5", method="POST", body=b"hello")).finish()
        return client.everything()


def expecting(server: Server, path: str, *, version: str = "1.1") -> str:
    """Expect to be told to go on, and send the body only then."""
    head = f"POST {path} HTTP/{version}\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode()
    with server.connect() as client:
        client.send(head)
        told = client.response(seconds=1.5)
        if client.end == "silent":
            client.end = ""
        client.send(b"abc" + PROBE)
        return f"{told}; then {client.everything()}"


@case(GROUP, ORDINARY, name="expect 100-continue")
def expect_100_continue(server: Server) -> str:
    return expecting(server, "/")


@case(GROUP, ORDINARY, name="expect 100-continue of an app that does not read")
def expect_100_continue_of_an_app_that_does_not_read(server: Server) -> str:
    return expecting(server, "/unread")


@case(GROUP, ORDINARY, name="expect 100-continue in HTTP/1.0")
def expect_100_continue_in_http_1_0(server: Server) -> str:
    return expecting(server, "/", version="1.0")


@case(GROUP, ORDINARY)
def expect_something_else(server: Server) -> str:
    return posted(server, "/", b"abc", "Expect: 200-maybe")


@case(GROUP, ORDINARY, columns=WSGI)
def lines_of_a_body(server: Server) -> str:
    return posted(server, "/lines", b"first\nsecond\nthird\nfourth\nlast")


@case(GROUP, ORDINARY, columns=WSGI)
def body_that_is_iterated(server: Server) -> str:
    return posted(server, "/iterated", b"first\nsecond\n\nlast")


@case(GROUP, ORDINARY, columns=WSGI)
def reading_where_there_is_no_body(server: Server) -> str:
    return posted(server, "/nothing-there", b"")
