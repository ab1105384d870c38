"""Requests that no browser sends, and what is made of the bytes behind them.

Each is followed at once by an ordinary request for /probe: where that is answered as such, nothing was smuggled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Case, add
from conformance.cases.settings import ORDINARY
from conformance.servers import request

if TYPE_CHECKING:
    from conformance.servers import Server

PROBE = request("/probe", close=True)
_QUIET_SECONDS = 1.5  # after which the client says that nothing more comes


def get(*lines: str) -> bytes:
    """Return a GET with these header lines."""
    return request("/", *lines)


def line(first: str) -> bytes:
    """Return a request with this first line."""
    return f"{first}\r\nHost: x\r\n\r\n".encode("latin-1")


def post(*lines: str, body: bytes = b"") -> bytes:
    """Return a POST with these header lines and this body."""
    return request("/", *lines, method="POST", body=body)


def chunked(body: bytes, *lines: str) -> bytes:
    """Return a POST whose body is these bytes, chunk sizes and all."""
    return post("Transfer-Encoding: chunked", *lines, body=body)


TABLE = {
    # the request line
    "lower-case method": line("get / HTTP/1.1"),
    "method with a hash": line("GE#T / HTTP/1.1"),
    "method with a bracket": line("GE[T / HTTP/1.1"),
    "method of one letter": line("G / HTTP/1.1"),
    "method of 40 letters": line(f"{'A' * 40} / HTTP/1.1"),
    "tabs in the request line": line("GET\t/\tHTTP/1.1"),
    "two spaces in the request line": line("GET  /  HTTP/1.1"),
    "space before the method": line(" GET / HTTP/1.1"),
    "no version": line("GET /"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": line("GET / HTTP/1.2"),
    "HTTP/2.0 in text": line("GET / HTTP/2.0"),
    "HTTP/1.10": line("GET / HTTP/1.10"),
    "HTTP/1": line("GET / HTTP/1"),
    "lower-case version": line("GET / http/1.1"),
    "another protocol": line("GET / HTCPCP/1.1"),
    "empty lines before the request": b"\r\n\r\n" + get(),
    "absolute URI": line("GET http://other.example/absolute?q=1 HTTP/1.1"),
    "absolute URI without a path": line("GET http://other.example HTTP/1.1"),
    "asterisk": line("OPTIONS * HTTP/1.1"),
    "CONNECT": line("CONNECT other.example:443 HTTP/1.1"),
    "path without a slash": line("GET path HTTP/1.1"),
    "two slashes": line("GET //other.example/path HTTP/1.1"),
    "fragment": line("GET /path#fragment?query HTTP/1.1"),
    "encoded NUL in the path": line("GET /a%00b HTTP/1.1"),
    "NUL in the path": line("GET /a\0b HTTP/1.1"),
    "byte beyond ASCII in the path": line("GET /caf\xe9 HTTP/1.1"),
    "encoded byte that is no UTF-8": line("GET /caf%E9 HTTP/1.1"),
    "encoded UTF-8": line("GET /caf%C3%A9?a=%2F HTTP/1.1"),
    "bad percent sign": line("GET /%zz HTTP/1.1"),
    "encoded slash": line("GET /a%2Fb HTTP/1.1"),
    "dots in the path": line("GET /a/../b/./c HTTP/1.1"),
    "path of 4,000 bytes": line(f"GET /{'a' * 4000} HTTP/1.1"),
    "path of 5,000 bytes": line(f"GET /{'a' * 5000} HTTP/1.1"),
    "path of 100,000 bytes": line(f"GET /{'a' * 100_000} HTTP/1.1"),
    "a TLS hello in plain text": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "PROXY line that is not expected": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(),
    # headers
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: x\n\n",
    "bare LF between headers": b"GET / HTTP/1.1\r\nHost: x\nX-B: y\r\n\r\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nHost: x\r\n\n",
    "bare CR in a value": get("X-A: a\rb"),
    "NUL in a value": get("X-A: a\0b"),
    "NUL in a name": get("X\0A: a"),
    "byte beyond ASCII in a value": get("X-A: caf\xe9"),
    "byte beyond ASCII in a name": get("X-\xe9: a"),
    "folded header": get("X-A: a\r\n b"),
    "first header folded": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "no colon": get("X-A"),
    "empty name": get(": a"),
    "empty value": get("X-A:"),
    "space in a name": get("X A: a"),
    "space before the colon": get("X-A : a"),
    "tab before the colon": get("X-A\t: a"),
    "spaces around a value": get("X-A: \t a \t "),
    "underscore in a name": get("X_A: a"),
    "both dash and underscore": get("X-A: dash", "X_A: underscore"),
    "Content_Length": post("Content_Length: 3"),
    "SCRIPT_NAME as a header": request("/mounted/path", "SCRIPT_NAME: /mounted"),
    "SCRIPT_NAME that does not fit": request("/other", "SCRIPT_NAME: /mounted"),
    "PATH_INFO as a header": get("PATH_INFO: /elsewhere"),
    "REMOTE_USER as a header": get("REMOTE_USER: root"),
    "the same header twice": get("X-A: a", "X-A: b"),
    "two Hosts": get("Host: y"),
    "no Host": b"GET / HTTP/1.1\r\nX-A: a\r\n\r\n",
    "header of 8,000 bytes": get(f"X-A: {'a' * 8000}"),
    "header of 9,000 bytes": get(f"X-A: {'a' * 9000}"),
    "header of 200,000 bytes": get(f"X-A: {'a' * 200_000}"),
    "99 headers": get(*(f"Y-{number}: a" for number in range(98))),
    "120 headers": get(*(f"Y-{number}: a" for number in range(120))),
    "2,000 headers": get(*(f"Y-{number}: a" for number in range(2000))),
    "contradicting schemes": get("X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"),
    "agreeing schemes": get("X-Forwarded-Proto: https", "X-Forwarded-Ssl: on"),
    # the length of a body
    "Content-Length and chunked": post(
        "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + request("/smuggled")
    ),
    "chunked and Content-Length": post(
        "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n" + request("/smuggled")
    ),
    "the same Content-Length twice": post("Content-Length: 3", "Content-Length: 3", body=b"abc"),
    "two Content-Lengths": post("Content-Length: 3", "Content-Length: 4", body=b"abcd"),
    "list of Content-Lengths": post("Content-Length: 3, 3", body=b"abc"),
    "Content-Length +3": post("Content-Length: +3", body=b"abc"),
    "Content-Length -1": post("Content-Length: -1", body=b"abc"),
    "Content-Length 0x3": post("Content-Length: 0x3", body=b"abc"),
    "Content-Length 1_0": post("Content-Length: 1_0", body=b"abcdefghij"),
    "Content-Length 03": post("Content-Length: 03", body=b"abc"),
    "Content-Length with a superscript": post("Content-Length: \xb2", body=b"ab"),
    "empty Content-Length": post("Content-Length: "),
    "Content-Length of 30 digits": post(f"Content-Length: {'9' * 30}", body=b"abc"),
    "GET with a body": request("/", "Content-Length: 3", body=b"abc"),
    "POST without a length": post(),
    "Content-Length behind a space": post("Content-Length : 3", body=b"abc"),
    # chunks
    "chunked twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked, chunked": post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "identity, chunked": post("Transfer-Encoding: identity, chunked", body=b"0\r\n\r\n"),
    "chunked, identity": post("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "gzip, chunked": post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "identity": post("Transfer-Encoding: identity", body=b""),
    "xchunked": post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "Chunked": post("Transfer-Encoding: Chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked behind a vertical tab": post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "chunked in quotes": post('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "Transfer-Encoding behind a space": post("Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "Transfer_Encoding": post("Transfer_Encoding: chunked", body=b""),
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunk extension": chunked(b"3;name=value\r\nabc\r\n0\r\n\r\n"),
    "chunk extension with a LF": chunked(b"3;na\nme\r\nabc\r\n0\r\n\r\n"),
    "chunk extension with a CR": chunked(b"3;na\rme\r\nabc\r\n0\r\n\r\n"),
    "chunk extension of 100,000 bytes": chunked(b"3;" + b"a" * 100_000 + b"\r\nabc\r\n0\r\n\r\n"),
    "chunk of size -1": chunked(b"-1\r\nabc\r\n0\r\n\r\n"),
    "chunk of size +3": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk of size 0x3": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk of size 0_3": chunked(b"0_3\r\nabc\r\n0\r\n\r\n"),
    "chunk of size g": chunked(b"g\r\nabc\r\n0\r\n\r\n"),
    "chunk without a size": chunked(b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size within spaces": chunked(b" 3 \r\nabc\r\n0\r\n\r\n"),
    "chunk size of 100 digits": chunked(b"0" * 99 + b"3\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than its size": chunked(b"3\r\nabcX\r\n0\r\n\r\n"),
    "chunk without its line's end": chunked(b"3\r\nabc0\r\n\r\n"),
    "chunks with bare LFs": chunked(b"3\nabc\n0\n\n"),
    "chunk of a huge size": chunked(b"ffffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "trailers": chunked(b"3\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n"),
    "Content-Length as a trailer": chunked(b"3\r\nabc\r\n0\r\nContent-Length: 30\r\n\r\n"),
    "bad trailer": chunked(b"3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"),
    "no body in chunks": chunked(b"0\r\n\r\n"),
}


def _declare(name: str, payload: bytes) -> None:
    def run(server: Server) -> str:
        with server.connect() as client:
            return client.send(payload + PROBE).everything(quiet=_QUIET_SECONDS)

    add(Case(name, "Hostile and odd requests", run, ORDINARY))


for _name, _payload in TABLE.items():
    _declare(_name, _payload)
