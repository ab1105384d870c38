"""How long, and for how much, a connection whose write side is closed waits for its client to close too.

A server that closes a socket with unread bytes in it, or that gets more of them, makes the kernel send a reset, which
may destroy the end of the response on its way (RFC 9112, section 9.6). So the write side is closed first, and the
socket itself when the client has read its answer and closed too, or after a while.
"""

from __future__ import annotations

LONGEST_SECONDS = 30.0  # for a client that goes on sending
LONGEST_BYTES = 1 << 30
READ_BYTES = 64 * 1024  # at once
