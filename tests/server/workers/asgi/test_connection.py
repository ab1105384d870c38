from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import struct

import pytest

from stablehand_server.workers.common.base import FIRST_REQUEST_SECONDS, HEADER_SECONDS

OK = b"HTTP/1.1 200 OK\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """The other end of a connection."""

    def __init__(self, worker, reader, writer, connection):
        self.worker = worker
        self.connection = connection
        self._reader = reader
        self._writer = writer

    def send(self, data):
        """Send bytes as they are."""
        self._writer.write(data)

    async def response(self):
        """Return the head and the body of the next response, by its Content-Length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        return head, await self._reader.readexactly(length)

    async def rest(self):
        """Return all that comes until the connection is closed."""
        return await self._reader.read()

    def leave(self):
        """Break the connection."""
        self._writer.transport.abort()


@pytest.fixture
async def connect(worker_for):
    """Return a function that connects to an app, and gives the client."""
    async with contextlib.AsyncExitStack() as stack:

        async def connected(app, **settings):
            ours, theirs = socket.socketpair()
            worker = worker_for(app, **settings)
            ours.setblocking(False)
            _, connection = await worker.loop.connect_accepted_socket(worker.connection, ours)
            reader, writer = await asyncio.open_connection(sock=theirs)
            stack.push_async_callback(closed, writer)
            stack.callback(connection.transport.abort)
            return Client(worker, reader, writer, connection)

        yield connected


async def closed(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def until(condition):
    async def awaited():
        while not condition():  # noqa: ASYNC110 (what is awaited has no event: it is a number in shared memory)
            await asyncio.sleep(0)

    await asyncio.wait_for(awaited(), 5)


async def respond(send, body=b"ok", status=200):
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def echo_path(scope, receive, send):
    await respond(send, scope["path"].encode())


def request(path, *headers, body=b""):
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_kept_connection_serves_one_request_after_another_and_counts_each(connect):
    client = await connect(echo_path)
    for number in range(3):
        client.send(request(f"/{number}"))
        head, body = await client.response()
        assert head.startswith(OK)
        assert body == f"/{number}".encode()
    assert client.worker.finished == {"2xx": 3}
    assert client.worker.busy == 0
    assert client.worker.nr == 3


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_later_requests_scope_is_what_gunicorn_makes_of_it(connect, version):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await respond(send)

    client = await connect(app, forwarded_allow_ips="*")
    sent = f"GET /a%20b?c=d&e HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\nX-Forwarded-Proto: https\r\n\r\n"
    for _ in range(3):
        client.send(sent.encode())
        await client.response()
    first, second, third = scopes
    assert first == second == third
    assert (second["http_version"], second["path"], second["query_string"]) == (version, "/a b", b"c=d&e")
    assert second["headers"] is not third["headers"]
    assert second["state"] is not third["state"]


async def test_pipelined_requests_are_answered_in_their_order(connect):
    client = await connect(echo_path)
    client.send(b"".join(request(f"/{number}") for number in range(40)))

    assert [(await client.response())[1] for _ in range(40)] == [f"/{number}".encode() for number in range(40)]
    assert client.worker.finished == {"2xx": 40}


async def test_a_request_whose_bytes_come_one_by_one_is_served(connect):
    client = await connect(echo_path)
    for byte in request("/slow"):
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.response())[1] == b"/slow"


async def test_the_next_request_is_served_while_the_app_still_works_after_its_response(connect):
    release = asyncio.Event()

    async def app(scope, receive, send):
        await respond(send, scope["path"].encode())
        if scope["path"] == "/background":
            await release.wait()

    client = await connect(app)
    client.send(request("/background"))
    assert (await client.response())[1] == b"/background"
    assert client.worker.busy == 0, "what the app does after its response holds no slot"
    client.send(request("/next"))
    assert (await client.response())[1] == b"/next"

    client.send(request("/last", "Connection: close"))
    await client.response()
    closing = asyncio.ensure_future(client.rest())
    await asyncio.sleep(0.01)
    assert not closing.done(), "the connection stays open for the app's work"
    release.set()
    assert await closing == b""


async def test_a_request_waits_while_too_many_calls_of_the_app_are_left_running(connect):
    release = asyncio.Event()
    begun = []

    async def app(scope, receive, send):
        begun.append(scope["path"])
        await respond(send)
        await release.wait()

    client = await connect(app)
    for number in range(16):
        client.send(request(f"/{number}"))
        await client.response()
    client.send(request("/held"))
    await asyncio.sleep(0.01)
    assert begun[-1] == "/15"

    release.set()
    await client.response()
    assert begun[-1] == "/held"


async def test_each_request_has_a_task_and_a_context_of_its_own(connect):
    variable = contextvars.ContextVar("variable", default="unset")
    tasks = []

    async def app(scope, receive, send):
        tasks.append(asyncio.current_task())
        body = variable.get().encode()
        variable.set("set by another request")
        await respond(send, body)

    client = await connect(app)
    for _ in range(2):
        client.send(GET)
        assert (await client.response())[1] == b"unset"
    assert tasks[0] is not tasks[1]


async def test_an_app_that_raises_is_answered_for_and_counts_as_an_error(connect):
    async def app(scope, receive, send):
        raise RuntimeError("on purpose")

    client = await connect(app)
    client.send(GET)
    assert (await client.rest()).startswith(b"HTTP/1.1 500 ")
    await until(lambda: client.worker.finished == {"error": 1})
    assert client.worker.busy == 0


async def test_an_app_that_leaves_its_response_unfinished_closes_the_connection_and_counts_as_an_error(connect):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})

    client = await connect(app)
    client.send(GET + GET)
    assert (await client.rest()).endswith(b"part")
    assert client.worker.finished == {"error": 1}


async def test_an_app_that_raises_after_its_response_has_served_it(connect):
    async def app(scope, receive, send):
        await respond(send)
        raise RuntimeError("on purpose")

    client = await connect(app)
    for _ in range(2):
        client.send(GET)
        await client.response()
    assert client.worker.finished == {"2xx": 2}


async def test_a_client_that_leaves_is_no_error_and_the_apps_call_is_cancelled_after_the_grace_period(connect):
    cancelled = asyncio.Event()

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    client = await connect(app, asgi_disconnect_grace_period=0)
    client.send(GET)
    await until(lambda: client.worker.busy == 1)
    client.leave()
    await asyncio.wait_for(cancelled.wait(), 5)
    await until(lambda: client.worker.finished == {"4xx": 1})
    assert client.worker.connections == set()


async def test_an_app_may_ask_again_and_again_whether_its_client_has_disconnected(connect):
    async def is_disconnected(receive):
        # as Starlette's Request.is_disconnected
        asked = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        return not asked.cancelled() and asked.result()["type"] == "http.disconnect"

    async def app(scope, receive, send):
        await receive()  # the body
        answers = [await is_disconnected(receive) for _ in range(3)]
        await respond(send, repr(answers).encode())

    client = await connect(app)
    for _ in range(2):
        client.send(GET)
        assert (await client.response())[1] == b"[False, False, False]"


async def test_all_that_wait_for_a_client_to_disconnect_are_notified(connect):
    heard = []

    async def listen(receive):
        heard.append((await receive())["type"])

    async def app(scope, receive, send):
        await receive()  # the body
        impatient = asyncio.ensure_future(listen(receive))
        patient = [asyncio.ensure_future(listen(receive)) for _ in range(2)]
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait(patient)

    client = await connect(app)
    client.send(GET)
    await until(lambda: client.worker.busy == 1)
    client.leave()
    await until(lambda: heard == ["http.disconnect"] * 2)


async def test_work_after_a_response_is_cancelled_too_once_the_client_has_left(connect):
    cancelled = asyncio.Event()

    async def app(scope, receive, send):
        await respond(send)
        try:
            if scope["path"] == "/background":
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    client = await connect(app, asgi_disconnect_grace_period=0)
    client.send(request("/background"))
    await client.response()
    client.send(request("/next"))
    await client.response()
    client.leave()
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_body_that_the_app_leaves_is_never_taken_for_a_request(connect):
    client = await connect(echo_path)
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\n")
    answer = await client.rest()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert client.worker.finished == {"2xx": 1}


async def test_a_connection_that_its_client_resets_as_it_is_closed_does_not_stay(worker_for):
    async def app(scope, receive, send):
        await respond(send)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    worker = worker_for(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    await worker.loop.connect_accepted_socket(worker.connection, accepted)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\npart")
    await until(lambda: worker.finished == {"2xx": 1})
    await until(lambda: worker.connections == set())


async def test_a_body_reaches_the_app_and_the_connection_goes_on(connect):
    async def app(scope, receive, send):
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        await respond(send, body)

    client = await connect(app)
    for _ in range(2):
        client.send(request("/", body=b"0123456789"))
        assert (await client.response())[1] == b"0123456789"


async def test_nonsense_is_refused_and_closes_the_connection(connect):
    client = await connect(echo_path)
    client.send(b"NONSENSE\r\n\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert client.worker.finished == {}


async def test_a_retiring_worker_says_that_a_response_is_the_last_and_closes(connect):
    client = await connect(echo_path)
    client.send(GET)
    head, _ = await client.response()
    assert b"onnection: close" not in head
    client.worker.retiring = True
    client.send(GET)
    head, _ = await client.response()
    assert b"Connection: close" in head
    assert await client.rest() == b""


async def test_a_hook_after_the_request_has_the_last_word_on_the_connection(connect):
    seen = []

    def post_request(worker, request, environ, response):
        seen.append(request.path)

    client = await connect(echo_path, post_request=post_request)
    for path in ("/a", "/b"):
        client.send(request(path))
        await client.response()
    await until(lambda: seen == ["/a", "/b"])


@pytest.mark.parametrize(
    ("sent", "patience"), [(b"", FIRST_REQUEST_SECONDS), (b"GET / HT", HEADER_SECONDS)], ids=["silent", "slow"]
)
async def test_a_client_is_waited_for_so_long_and_no_longer(connect, sent, patience):
    client = await connect(echo_path)
    client.send(sent)
    await until(lambda: not sent or not client.connection.idle)
    client.connection.look(1000.0)
    client.connection.look(1000.0 + patience - 0.1)
    assert not client.connection._closed
    client.connection.look(1000.0 + patience + 0.1)
    assert client.connection._closed


async def test_an_idle_connection_is_kept_for_the_keep_alive_unless_a_request_has_come_meanwhile(connect):
    client = await connect(echo_path, keepalive=2)
    client.send(GET)
    await client.response()
    client.connection.look(1000.0)
    client.send(GET)
    client.connection.look(1003.0)  # before the loop has read it
    assert (await client.response())[1] == b"/"
    client.connection.look(2000.0)
    client.connection.look(2003.0)
    assert client.connection._closed


async def test_a_retiring_worker_closes_an_idle_connection_and_none_whose_request_has_begun(connect):
    idle, begun = await connect(echo_path), await connect(echo_path)
    begun.send(b"GET /b HTTP/1.1\r\n")
    await until(lambda: not begun.connection.idle)
    for client in (idle, begun):
        client.connection.close_if_idle()
    begun.send(b"Host: x\r\n\r\n")
    assert (await begun.response())[1] == b"/b"
    assert await idle.rest() == b""


@pytest.mark.parametrize("pipelined", [True, False])
async def test_a_request_inherits_no_context_of_the_one_before_it(connect, pipelined):
    variable = contextvars.ContextVar("variable", default="unset")

    async def app(scope, receive, send):
        body = variable.get().encode()
        variable.set("set by another request")
        await respond(send, body)

    client = await connect(app)
    client.send(GET * 3 if pipelined else GET)
    for number in range(3):
        if not pipelined and number:
            client.send(GET)
        assert (await client.response())[1] == b"unset"


async def test_the_next_request_is_served_after_a_body_that_the_app_has_left(connect):
    client = await connect(echo_path)
    client.send(request("/left", body=b"z" * 50)[:-20])
    assert (await client.response())[1] == b"/left"
    client.send(b"z" * 20 + request("/next"))
    assert (await client.response())[1] == b"/next"


async def test_what_follows_a_request_whose_body_was_not_asked_for_is_never_taken_for_that_body(connect):
    client = await connect(echo_path)
    client.send(request("/left", "Expect: 100-continue", "Content-Length: 50"))
    assert (await client.response())[1] == b"/left"
    client.send(request("/next"))
    assert await client.rest() == b""


async def test_a_body_that_turns_out_malformed_writes_nothing_into_the_response_that_has_begun(connect):
    begun = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        begun.set()
        while (await receive()).get("more_body"):
            pass

    client = await connect(app)
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await begun.wait()
    client.send(b"nonsense\r\n")
    assert (await client.rest()).endswith(b"part\r\n")


@pytest.mark.parametrize("setting", ["fast", "auto"])
async def test_the_parser_in_c_serves_where_it_is_installed(connect, parsers, setting):
    with parsers[setting]():
        client = await connect(echo_path, http_parser=setting)
        for path in ("/a", "/b"):
            client.send(request(path, body=b"0123456789"))
            assert (await client.response())[1] == path.encode()
    assert type(client.connection._callback_parser).__name__ == "ParserInC"
