"""Proxies in front: forwarded headers, and the PROXY protocol, on the first and on later requests of a connection."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from conformance.case import Case, add, case
from conformance.cases.settings import BEHIND_PROXY, ORDINARY, STRANGE_PROXY, UNIX
from conformance.columns import ALL
from conformance.servers import request

if TYPE_CHECKING:
    from conformance.case import Setting
    from conformance.servers import Server

GROUP = "Proxies"
_ADDRESSES = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes) -> bytes:
    """Return a header of the PROXY protocol's version 2."""
    return _SIGNATURE + bytes([command, family]) + struct.pack(">H", len(addresses)) + addresses


V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5678 80\r\n"
V2 = v2(0x21, 0x11, b"".join(_ADDRESSES) + struct.pack(">HH", 5678, 80))
PREFACES = {
    "PROXY v1": V1,
    "PROXY v1 over IPv6": b"PROXY TCP6 2001:db8::1 2001:db8::2 5678 80\r\n",
    "PROXY v1, unknown": b"PROXY UNKNOWN\r\n",
    "PROXY v1, an address that is none": b"PROXY TCP4 192.0.2.999 192.0.2.2 5678 80\r\n",
    "PROXY v1, a port too high": b"PROXY TCP4 192.0.2.1 192.0.2.2 99999 80\r\n",
    "PROXY v1, too few words": b"PROXY TCP4 192.0.2.1\r\n",
    "PROXY v1, too long": b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    "PROXY v2": V2,
    "PROXY v2 over IPv6": v2(0x21, 0x21, bytes(range(16)) * 2 + struct.pack(">HH", 5678, 80)),
    "PROXY v2, local": v2(0x20, 0x00, b""),
    "PROXY v2 with an extension": v2(
        0x21, 0x11, b"".join(_ADDRESSES) + struct.pack(">HH", 5678, 80) + b"\x04\x00\x03abc"
    ),
    "PROXY v2 of another version": v2(0x31, 0x11, b"".join(_ADDRESSES) + struct.pack(">HH", 5678, 80)),
    "PROXY v2, too short": v2(0x21, 0x11, b"1234"),
    "no PROXY": b"",
}


def twice(server: Server, preface: bytes, *lines: str) -> str:
    """Ask twice on a connection which peer the app sees."""
    with server.connect() as client:
        first = client.send(preface + request("/peer", *lines)).final()
        if first is None:
            return client.end
        return f"{first}; then {client.second('/peer')}"


def _declare(name: str, setting: Setting, preface: bytes, *lines: str) -> None:
    add(Case(name, GROUP, lambda server: twice(server, preface, *lines), setting, ALL))


for _name, _preface in PREFACES.items():
    _declare(_name, BEHIND_PROXY, _preface)
for _name, _line in {
    "X-Forwarded-Proto": "X-Forwarded-Proto: https",
    "X-Forwarded-Protocol": "X-Forwarded-Protocol: ssl",
    "X-Forwarded-Ssl": "X-Forwarded-Ssl: on",
    "X-Forwarded-For": "X-Forwarded-For: 192.0.2.1, 192.0.2.2",
    "Forwarded": "Forwarded: for=192.0.2.1;proto=https",
}.items():
    _declare(f"{_name} of a trusted proxy", ORDINARY, b"", _line)
    _declare(f"{_name} of somebody else", STRANGE_PROXY, b"", _line)
    _declare(f"{_name} over a Unix socket", UNIX, b"", _line)
_declare("PROXY v1 of somebody else", STRANGE_PROXY, V1)
_declare("PROXY v2 of somebody else", STRANGE_PROXY, V2)


@case(GROUP, STRANGE_PROXY)
def script_name_of_somebody_else(server: Server) -> str:
    return twice(server, b"", "SCRIPT_NAME: /peer")


@case(GROUP, BEHIND_PROXY)
def proxy_line_that_trickles(server: Server) -> str:
    whole = V1 + request("/peer")
    with server.connect() as client:
        client.send(*(whole[place : place + 9] for place in range(0, len(whole), 9)), pause=0.05)
        return f"{client.final()}; then {client.second('/peer')}"


@case(GROUP, BEHIND_PROXY)
def proxy_v2_that_trickles(server: Server) -> str:
    whole = V2 + request("/peer")
    with server.connect() as client:
        client.send(*(whole[place : place + 5] for place in range(0, len(whole), 5)), pause=0.05)
        return f"{client.final()}; then {client.second('/peer')}"


@case(GROUP, BEHIND_PROXY)
def second_proxy_line_on_a_connection(server: Server) -> str:
    with server.connect() as client:
        first = client.send(V1 + request("/peer")).final()
        client.send(V1)
        return f"{first}; then {client.second('/peer')}"


@case(GROUP, BEHIND_PROXY)
def pipelined_behind_a_proxy_line(server: Server) -> str:
    with server.connect() as client:
        return client.send(V1 + request("/peer") + request("/peer", close=True)).everything()


@case(GROUP, UNIX)
def unix_socket(server: Server) -> str:
    return twice(server, b"")


@case(GROUP, UNIX)
def environ_over_a_unix_socket(server: Server) -> str:
    return str(server.get("/environ"))


@case(GROUP, UNIX)
def body_of_1_mb_over_a_unix_socket(server: Server) -> str:
    with server.connect() as client:
        client.send(request("/", "Content-Length: 1000000", method="POST", body=b"x" * 1_000_000))
        return f"{client.final()}; then {client.second()}"
