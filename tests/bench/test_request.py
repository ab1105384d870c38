from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stablehand_bench import request


class Answer(BaseHTTPRequestHandler):
    """Answers one path with 200."""

    def do_GET(self):
        """Answer."""
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()
        self.wfile.write(b"body")

    def log_message(self, *_args):
        """Say nothing."""


@pytest.fixture
def port():
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_body_of_an_answer_is_returned(port):
    assert request.get(port, "/there") == b"body"


def test_another_status_is_an_error_that_names_it(port):
    with pytest.raises(http.client.HTTPException, match="/elsewhere was answered with 404"):
        request.get(port, "/elsewhere")
