"""How long, and for how much, a connection whose write side is closed waits for its client to close too.

When a server closes a socket that has unread bytes, or that receives more of them, the kernel sends a reset, which may
destroy the end of the response in transit (RFC 9112, section 9.6). So the write side is closed first, and the socket
itself when the client has read its answer and closed too, or after a time limit.
"""

from __future__ import annotations

LONGEST_SECONDS = 30.0  # for a client that keeps sending
LONGEST_BYTES = 1 << 30
READ_BYTES = 64 * 1024  # at once
