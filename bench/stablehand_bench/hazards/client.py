"""A closed loop that checks every answer: its status, and that it greets who has asked.

One thread and epoll: it takes about as much of a core as wrk does, which checks no contents and keeps no cookies. There
are twice as many users as connections, each has at most one request under way, and a connection carries requests of
all of them, as behind a proxy. With `--logins` a user logs in first, and again after a 401, which counts as failed.

After an answer the next request follows at once, on the same connection unless the server closes it. After a connection
that broke the client waits a tenth of a second.

`python -m stablehand_bench.hazards.client URL SECONDS` prints what it measured as one line of JSON.
"""

from __future__ import annotations

import argparse
import collections
import errno
import json
import os
import re
import select
import socket
import sys
import time
import urllib.parse
from collections import Counter

from stablehand_bench.apps.hazards.page import greeting
from stablehand_dev.load.result import FailureExample, LoadResult, Second, summed

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie:[ \t]*([^;\r]+)", re.IGNORECASE)
_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 30.0
_EXAMPLES = 20
_UNAUTHORIZED = 401
_OK = 200
_MALFORMED = "malformed"


class User:
    """Who asks: its name, the answer that it must get, and the cookie of its login."""

    def __init__(self, number: int, host: str, *, logins: bool) -> None:
        self.name = f"{number:04d}"
        self.expected = greeting(self.name).encode()
        self.cookie = b""
        self._host = host.encode()
        self._logins = logins

    def request(self, path: bytes) -> bytes:
        """Return what it sends next: a request for a path, or its login."""
        if self._logins and not self.cookie:
            path = b"/login"
        cookie = b"Cookie: %b\r\n" % self.cookie if self.cookie else b""
        return b"GET %b?user=%b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, self.name.encode(), self._host, cookie)

    def judge(self, answer: Answer) -> str:
        """Take an answer, and return what is wrong with it; empty for nothing."""
        if answer.status == _UNAUTHORIZED:
            self.cookie = b""
        if answer.status != _OK:
            return f"status_{answer.status}"
        if self._logins and answer.cookie:
            self.cookie = answer.cookie
        return "" if answer.body == self.expected else "content"


class Answer:
    """An answer as far as it has come; `feed` returns whether it is whole."""

    def __init__(self) -> None:
        self.status = 0
        self.closes = False
        self.cookie = b""
        self.body = b""
        self._data = b""
        self._end = -1

    def feed(self, data: bytes) -> bool:
        """Take what was received.

        Raises:
            ValueError: when it is no answer whose length is told.
        """
        self._data += data
        if self._end < 0:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return False
            self._end = self._begin(self._data[:head]) + head + 4
        if len(self._data) < self._end:
            return False
        if len(self._data) > self._end:
            raise ValueError("more than an answer")
        self.body = self._data[self._data.index(b"\r\n\r\n") + 4 :]
        return True

    def _begin(self, head: bytes) -> int:
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 ") or length is None:
            raise ValueError("no answer of HTTP/1.1 that tells its length")
        self.status = int(head[9:12])
        self.closes = _CLOSE.search(head) is not None
        cookie = _COOKIE.search(head)
        self.cookie = cookie.group(1) if cookie is not None else b""
        return int(length.group(1))


class Connection:
    """A connection, with the request that is under way on it."""

    def __init__(self, address: tuple[str, int], user: User, began: float) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.user = user
        self.began = began
        self.answer = Answer()

    def require_connected(self) -> None:
        """Raise OSError when there is no connection."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def send(self, path: bytes) -> None:
        """Send the user's request: it fits into any socket's buffer."""
        self.answer = Answer()
        self.socket.send(self.user.request(path))


class Client:
    """One run of so many connections."""

    def __init__(self, url: str, connections: int, *, logins: bool) -> None:
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._connections = connections
        self._users = collections.deque(User(number, parts.netloc, logins=logins) for number in range(2 * connections))
        self._open: dict[int, Connection] = {}
        self._poll = select.epoll()
        self._waiting: collections.deque[float] = collections.deque()
        self._seconds: dict[int, Second] = {}
        self._failures: Counter[str] = Counter()
        self._examples: list[FailureExample] = []
        self._start = time.monotonic()

    def run(self, seconds: float) -> LoadResult:
        """Load the server for so long; what is under way at the end is neither answered nor failed."""
        self._start = time.monotonic()
        end = self._start + seconds
        looked = self._start
        while (now := time.monotonic()) < end:
            while len(self._open) + len(self._waiting) < self.wanted(now - self._start):
                self._connect()
            while self._waiting and self._waiting[0] <= now:
                self._waiting.popleft()
                self._connect()
            for number, events in self._poll.poll(min(0.05, end - now)):
                self._proceed(self._open[number], events)
            if now - looked > 1.0:
                looked = now
                self._expire(now - _TIMEOUT_SECONDS)
        for connection in list(self._open.values()):
            self._drop(connection)
        return self._result(seconds)

    def wanted(self, _at: float) -> int:
        """Return how many connections there should be at a moment, in seconds from the start."""
        return self._connections

    def path(self, _at: float) -> bytes:
        """Return what is asked for at a moment."""
        return b"/"

    def served(self, at: float, latency: float) -> None:
        """Take note of an answer as it should be."""

    def _connect(self) -> None:
        connection = Connection(self._address, self._users.popleft(), time.monotonic())
        self._open[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLOUT)

    def _proceed(self, connection: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                connection.require_connected()
                connection.send(self.path(time.monotonic() - self._start))
                self._poll.modify(connection.socket, select.EPOLLIN)
                return
            data = connection.socket.recv(65536)
        except OSError as error:
            self._broken(connection, _kind(error))
            return
        if not data:
            self._broken(connection, "eof")
            return
        try:
            if connection.answer.feed(data):
                self._answered(connection)
        except ValueError:
            self._broken(connection, _MALFORMED)

    def _answered(self, connection: Connection) -> None:
        now = time.monotonic()
        wrong = connection.user.judge(connection.answer)
        if wrong:
            self._failed(wrong, connection.user.name)
        else:
            second = self._second(now)
            second.completed += 1
            second.latencies.record(now - connection.began)
            self.served(now - self._start, now - connection.began)
        if connection.answer.closes or len(self._open) > self.wanted(now - self._start):
            self._drop(connection)
            return
        self._users.append(connection.user)
        connection.user = self._users.popleft()
        connection.began = now
        try:
            connection.send(self.path(now - self._start))
        except OSError as error:
            self._broken(connection, _kind(error))

    def _broken(self, connection: Connection, kind: str) -> None:
        self._failed(kind, connection.user.name)
        self._drop(connection)
        self._waiting.append(time.monotonic() + _PAUSE_SECONDS)

    def _drop(self, connection: Connection) -> None:
        self._users.append(connection.user)
        del self._open[connection.socket.fileno()]
        connection.socket.close()

    def _expire(self, oldest: float) -> None:
        for connection in [each for each in self._open.values() if each.began < oldest]:
            self._broken(connection, "timeout")

    def _failed(self, kind: str, detail: str) -> None:
        now = time.monotonic()
        self._failures[kind] += 1
        self._second(now).failed += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(FailureExample(round(now - self._start, 3), kind, detail))

    def _second(self, now: float) -> Second:
        at = int(now - self._start)
        return self._seconds.setdefault(at, Second(at))

    def _result(self, seconds: float) -> LoadResult:
        result = summed([self._seconds.get(at, Second(at)) for at in range(int(seconds))], seconds)
        result.failures = self._failures
        result.examples = self._examples
        return result


def _kind(error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return "refused"
    return "reset" if error.errno in {errno.ECONNRESET, errno.EPIPE} else f"error_{error.errno}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="stablehand_bench.hazards.client")
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--logins", action="store_true")
    options = parser.parse_args()
    result = Client(options.url, options.connections, logins=options.logins).run(options.seconds)
    share = time.process_time() / options.seconds
    sys.stdout.write(json.dumps({"core_share": share, "result": result.to_mapping()}) + "\n")


if __name__ == "__main__":
    main()
