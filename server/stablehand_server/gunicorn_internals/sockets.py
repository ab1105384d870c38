"""gunicorn's listeners, and TLS around what they accept.

Relied on: a listener binds and listens as it is made, raises OSError where that cannot be, and has the address of the
configuration as `cfg_addr`; what it does not know itself it has of its socket. The functions for TLS take certificates,
versions and protocols from the configuration, and ask its hook `ssl_context`; `ssl_wrap_socket` shakes hands at once
where the configuration says so.
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
