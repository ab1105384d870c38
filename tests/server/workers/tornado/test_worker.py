from __future__ import annotations

import threading

import pytest

pytestmark = pytest.mark.integration

TORNADO_APP = """
import asyncio
from tornado import web

class Wait(web.RequestHandler):
    inside = most = 0

    async def get(self):
        Wait.inside += 1
        Wait.most = max(Wait.most, Wait.inside)
        await asyncio.sleep(0.2)
        Wait.inside -= 1
        self.write("ok")

class Most(web.RequestHandler):
    def get(self):
        self.write(str(Wait.most))

class Fail(web.RequestHandler):
    def get(self):
        raise LookupError("as the test asked for")

app = web.Application([("/", Wait), ("/most", Most), ("/fail", Fail)])
"""
WSGI_APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise LookupError("as the test asked for")
    body = environ["wsgi.input"].read()
    headers = [("X-Length", environ.get("CONTENT_LENGTH", "none")), ("X-Method", environ["REQUEST_METHOD"])]
    start_response("204 No Content" if environ["PATH_INFO"] == "/empty" else "200 OK", headers)
    yield body
    yield b"!"
"""


def test_an_application_of_tornados_own_serves_as_many_requests_as_connections_and_is_counted(launch, until, tmp_path):
    (tmp_path / "native.py").write_text(TORNADO_APP)
    server = launch("-k", "tornado", "--worker-connections", "6", app="native:app", PYTHONPATH=str(tmp_path))
    assert server.metric("worker_slots", worker="0") == 6

    asking = [threading.Thread(target=server.get) for _ in range(10)]
    for each in asking:
        each.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 6)
    for each in asking:
        each.join()

    assert server.get("/most") == (200, "6")
    assert server.get("/fail")[0] == 500
    assert server.get("/nowhere")[0] == 404
    for code, count in {"2xx": 11, "4xx": 1, "5xx": 1}.items():
        until(lambda code=code, count=count: server.metric("worker_requests_total", worker="0", code=code) == count)
    assert 2.0 <= server.metric("worker_busy_seconds_total", worker="0") <= 5.0


def test_a_wsgi_app_is_inside_one_request_at_a_time(launch, until):
    server = launch("-k", "tornado")
    assert server.metric("worker_slots", worker="0") == 1
    with server.load(8, query="?0.01") as load:
        until(lambda: load.series)
        seen = {server.metric("worker_busy_slots", worker="0") for _ in range(20)}
        result = load.stop()
    assert result.failures == {}
    assert seen <= {0, 1}
    until(lambda: server.metric("worker_requests_total", worker="0", code="2xx") == result.completed)
    assert server.metric("request_queue_seconds_count") == result.completed


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("GET", "/", None, 200, b"!"),
        ("POST", "/", b"abc", 200, b"abc!"),
        ("POST", "/", [b"ab", b"c"], 200, b"abc!"),
        ("HEAD", "/", None, 200, b""),
        ("GET", "/empty", None, 204, b""),
        ("GET", "/fail", None, 500, b"Internal Server Error"),
    ],
)
def test_a_wsgi_app_gets_what_was_asked_and_its_answer_arrives(  # noqa: PLR0917 (pytest passes them by name)
    launch, tmp_path, method, path, body, status, answer
):
    import http.client  # noqa: PLC0415 (only here)

    (tmp_path / "plain.py").write_text(WSGI_APP)
    server = launch("-k", "tornado", app="plain:app", PYTHONPATH=str(tmp_path))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(2):  # the connection is in order afterwards
        connection.request(method, path, body=body, encode_chunked=isinstance(body, list))
        response = connection.getresponse()
        assert (response.status, response.read()) == (status, answer)
    if body is not None:
        assert response.headers["X-Length"] == "3"
    connection.close()
