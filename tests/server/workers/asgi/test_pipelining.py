"""However a stream of requests is cut and scheduled, the app sees the requests that were sent, and in their order."""

from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PARSERS = ["python", "fast"]


@dataclasses.dataclass(frozen=True)
class Sent:
    """A request, and what the app does with it."""

    number: int
    body: bytes = dataclasses.field(repr=False)
    framing: str  # of the body: "none", "length", "chunked" or "expect"
    reads: bool  # the app reads the body before it answers
    passes: int  # of the loop that the app takes before its answer
    passes_after: int  # and after it

    def encoded(self) -> bytes:
        """Return it as its client sends it."""
        how = f"{'read' if self.reads else 'leave'},{self.passes},{self.passes_after}"
        lines = [f"POST /{self.number} HTTP/1.1", "Host: x", f"X-How: {how}"]
        body = self.body
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            half = len(body) // 2
            parts = [part for part in (body[:half], body[half:]) if part]
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        elif self.framing == "none":
            body = b""
        else:
            lines.append(f"Content-Length: {len(body)}")
        if self.framing == "expect":
            lines.append("Expect: 100-continue")
        return "\r\n".join([*lines, "", ""]).encode() + body

    def seen(self) -> tuple[str, bytes]:
        """Return what the app should see of it."""
        return f"/{self.number}", b"" if self.framing == "none" or not self.reads else self.body


MOST_WAITS = 10_000


class Wire(asyncio.Transport):
    """A transport whose client's bytes come when the test says so, and not while reading is paused."""

    def __init__(self, ours: socket.socket) -> None:
        super().__init__({"socket": ours, "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.paused = self.closed = False

    def write(self, data: bytes) -> None:
        """Keep what the server says."""
        self.written += data

    def writelines(self, list_of_data) -> None:
        """Keep what the server says."""
        for data in list_of_data:
            self.write(data)

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        """Take any number of bytes."""

    def can_write_eof(self) -> bool:
        """Say yes."""
        return True

    def write_eof(self) -> None:
        """Note it: the server says nothing more, and closes when it has waited for the client to do so."""
        self.closed = True

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def is_closing(self) -> bool:
        """Tell whether the server has closed it."""
        return self.closed

    def pause_reading(self) -> None:
        """Hold the client's bytes back."""
        self.paused = True

    def resume_reading(self) -> None:
        """Let them come again."""
        self.paused = False


BODIES = st.one_of(
    st.binary(max_size=40),
    st.just(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
    st.integers(1, 3).map(lambda times: b"POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * times),
    st.just(b"GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 150_000 + b"\r\n\r\n"),
)
REQUESTS = st.lists(
    st.builds(
        Sent,
        number=st.integers(0, 99),
        body=BODIES,
        framing=st.sampled_from(["none", "length", "chunked", "expect"]),
        reads=st.just(True) | st.booleans(),
        passes=st.integers(0, 4),
        passes_after=st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)


async def app(scope, receive, send):
    """Do what the request's X-How says."""
    how = dict(scope["headers"]).get(b"x-how", b"leave,0,0").decode()
    reads, passes, passes_after = how.split(",")
    body, more = b"", reads == "read"
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    for _ in range(int(passes)):
        await asyncio.sleep(0)
    answer = scope["path"].encode() + b" " + body
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
    for _ in range(int(passes_after)):
        await asyncio.sleep(0)


def answers(written: bytes) -> list[bytes]:
    """Return the bodies of the responses, without those of 100."""
    found = []
    while written:
        head, _, written = written.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100 "):
            continue
        assert head.startswith(b"HTTP/1.1 200 OK"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(written[:length])
        written = written[length:]
    return found


async def served(worker_for, stream: bytes, pieces, count: int, parser: str) -> tuple[list[bytes], bool]:
    """Return the answers to a stream, and whether the connection was closed.

    Its pieces are given by their sizes, and for how many passes the loop runs after each.
    """
    worker = worker_for(app, http_parser=parser)
    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    connection = worker.connection()
    with ours, theirs:
        connection.connection_made(wire)
        place = 0
        for size, passes in pieces:
            if wire.closed:
                break
            connection.data_received(stream[place : place + size])
            place += size
            for _ in range(passes):
                await asyncio.sleep(0)
            waits = 0
            while wire.paused and not wire.closed:
                waits += 1
                assert waits < MOST_WAITS, "nobody reads on"
                await asyncio.sleep(0)
        for _ in range(200 + 20 * count):
            if wire.written.count(b"HTTP/1.1 200 OK\r\n") >= count or wire.closed:
                break
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.sleep(0)
    return answers(bytes(wire.written)), wire.closed


@st.composite
def cut(draw):
    """Draw requests, and the pieces that they come in."""
    requests = draw(REQUESTS)
    stream = b"".join(each.encoded() for each in requests)
    ends = []
    for each in requests:
        ends.append((ends[-1] if ends else 0) + len(each.encoded()))
    near = st.sampled_from(ends).flatmap(lambda end: st.integers(max(1, end - 60), min(len(stream), end + 60)))
    places = sorted({*draw(st.lists(st.integers(1, len(stream)) | near, max_size=12)), len(stream)})
    sizes = [place - before for before, place in zip([0, *places], places, strict=False)]
    passes = draw(st.lists(st.integers(0, 5), min_size=len(sizes), max_size=len(sizes)))
    return requests, list(zip(sizes, passes, strict=True))


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=50, deadline=None)
@given(drawn=cut())
def test_a_stream_of_requests_is_served_as_if_they_had_come_one_by_one(worker_for, parsers, parser, drawn):
    requests, pieces = drawn
    stream = b"".join(each.encoded() for each in requests)
    with parsers[parser]():
        got, closed = asyncio.run(served(worker_for, stream, pieces, len(requests), parser))

    wanted = [b"%s %s" % (path.encode(), body) for path, body in (each.seen() for each in requests)]
    if closed:  # a body that the app has left may end its connection, but nothing of it is ever served
        assert got == wanted[: len(got)]
        assert any(not each.reads for each in requests[: len(got)])
    else:
        assert got == wanted


@pytest.mark.parametrize("parser", PARSERS)
def test_what_comes_between_two_pipelined_requests_does_not_overtake_the_second(worker_for, parsers, parser):
    first = Sent(1, b"", "none", reads=True, passes=1, passes_after=0).encoded()
    smuggled = Sent(66, b"", "none", reads=True, passes=0, passes_after=0).encoded()
    second = Sent(2, smuggled, "length", reads=True, passes=0, passes_after=0)
    stream = first + second.encoded()
    head = len(stream) - len(smuggled)
    for passes in range(8):
        with parsers[parser]():
            got, _ = asyncio.run(served(worker_for, stream, [(head, passes), (len(smuggled), 0)], 2, parser))
        assert got == [b"/1 ", b"/2 " + smuggled]


@pytest.mark.parametrize("parser", PARSERS)
def test_no_number_of_pipelined_bytes_is_too_many(worker_for, parsers, parser):
    requests = [Sent(number, b"z" * 500, "length", True, 1, 0) for number in range(600)]
    stream = b"".join(each.encoded() for each in requests)
    pieces = [(250_000, 0)] * (len(stream) // 250_000) + [(len(stream) % 250_000, 0)]
    with parsers[parser]():
        got, _ = asyncio.run(served(worker_for, stream, pieces, len(requests), parser))
    assert len(got) == len(requests)
