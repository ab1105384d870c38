"""gunicorn's listeners, and TLS around what they accept.

Relied on: a listener binds and listens when it is created, raises OSError if it cannot, and has the address of the
configuration as `cfg_addr`; attributes that it lacks are those of its socket. The functions for TLS take certificates,
versions and protocols from the configuration, and call its hook `ssl_context`; `ssl_wrap_socket` does the handshake at
once if the configuration asks for it.
"""

from __future__ import annotations

from gunicorn.sock import TCP6Socket, TCPSocket, UnixSocket, is_http2_negotiated, ssl_context, ssl_wrap_socket
from gunicorn.util import close, is_ipv6

__all__ = [
    "TCP6Socket",
    "TCPSocket",
    "UnixSocket",
    "close",
    "is_http2_negotiated",
    "is_ipv6",
    "ssl_context",
    "ssl_wrap_socket",
]
