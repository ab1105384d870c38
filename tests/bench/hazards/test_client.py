from __future__ import annotations

import http.server
import threading
import urllib.parse

import pytest

from stablehand_bench.apps.hazards.page import greeting
from stablehand_bench.hazards.client import Answer, Client, User

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"


def answer(data):
    made = Answer()
    assert made.feed(data)
    return made


def test_an_answer_may_come_in_pieces():
    made = Answer()
    pieces = [WHOLE[:20], WHOLE[20:], b"\r\n", b"hel"]

    assert not any(made.feed(piece) for piece in pieces)
    assert made.feed(b"lo")
    assert (made.status, made.body, made.closes) == (200, b"hello", False)


def test_an_answer_tells_whether_the_connection_ends_and_sets_a_cookie():
    made = answer(WHOLE + b"Connection: close\r\nSet-Cookie: a=1; Path=/\r\n\r\nhello")

    assert (made.closes, made.cookie) == (True, b"a=1")


@pytest.mark.parametrize(
    "data", [b"SSH-2.0 hello\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", WHOLE + b"\r\nhello, and more"]
)
def test_what_is_no_answer_or_more_than_one_is_refused(data):
    with pytest.raises(ValueError, match="answer"):
        Answer().feed(data)


def test_a_user_must_be_greeted_by_name():
    def judged(text, status=200):
        head = b"HTTP/1.1 %d \r\nContent-Length: %d\r\n\r\n" % (status, len(text))
        return User(7, "here", logins=False).judge(answer(head + text.encode()))

    assert judged(greeting("0007")) == ""
    assert judged(greeting("0008")) == "content"
    assert judged(greeting("0007"), 429) == "status_429"


def test_a_user_logs_in_first_and_again_after_a_401():
    user = User(7, "here", logins=True)
    first = user.request(b"/")
    body = greeting("0007").encode()
    length = b"Content-Length: %d\r\n" % len(body)
    assert user.judge(answer(b"HTTP/1.1 200 \r\nSet-Cookie: session=1\r\n" + length + b"\r\n" + body)) == ""
    second = user.request(b"/")
    assert user.judge(answer(b"HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n")) == "status_401"
    third = user.request(b"/")

    assert first.startswith(b"GET /login?user=0007 ")
    assert second.startswith(b"GET /?user=0007 ")
    assert b"\r\nCookie: session=1\r\n" in second
    assert third == first


class Site(http.server.BaseHTTPRequestHandler):
    """Answers as users expect, but for the third user, whose connection it drops; closes every second one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer."""
        name = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["user"][0]
        self.close_connection = name == "0002" or int(name) % 2 == 1
        if name == "0002":
            return
        self.send_response(200)
        body = greeting(name).encode()
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def site():
    """The URL of a site that runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_user_is_served_and_every_broken_connection_is_counted(site):
    result = Client(site, 4, logins=False).run(1.0)

    assert set(result.failures) == {"eof"}
    assert {each.detail for each in result.examples} == {"0002"}
    assert result.completed > 8
    assert result.completed == sum(each.completed for each in result.series)
    assert 0 < result.p99 < 1


def test_a_server_that_is_gone_costs_a_bounded_number_of_attempts(site):
    port = site.rsplit(":", 1)[1].strip("/")
    result = Client(f"http://127.0.0.2:{port}/", 4, logins=False).run(0.5)

    assert set(result.failures) == {"refused"}
    assert 4 <= result.failed <= 4 * 6
