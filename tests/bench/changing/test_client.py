from __future__ import annotations

import http.server
import threading
import time
import urllib.parse

import pytest

from stablehand_bench.apps.hazards.page import greeting
from stablehand_bench.changing import client, scripts
from stablehand_bench.changing.scripts import Script, Stretch

pytestmark = pytest.mark.integration

SCRIPT = Script("two", "two kinds", (Stretch(1, "/quick", 2, 2), Stretch(1, "/slow", 4, 4)))


class Site(http.server.BaseHTTPRequestHandler):
    """Greets at once, or after a while, and counts who is there at once."""

    protocol_version = "HTTP/1.1"
    present = 0
    most: dict[str, int] = {}  # noqa: RUF012 (set for each test)
    lock = threading.Lock()

    def do_GET(self):
        """Answer."""
        parts = urllib.parse.urlsplit(self.path)
        with self.lock:
            Site.present += 1
            self.most[parts.path] = max(self.most.get(parts.path, 0), self.present)
        time.sleep(0.15 if parts.path == "/slow" else 0.005)
        body = greeting(urllib.parse.parse_qs(parts.query)["user"][0]).encode()
        with self.lock:
            Site.present -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def site(monkeypatch):
    """The URL of a site that runs."""
    monkeypatch.setattr(Site, "present", 0)
    monkeypatch.setattr(Site, "most", {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_stretch_has_its_clients_and_its_path_and_what_is_too_late_is_told_apart(site, monkeypatch):
    monkeypatch.setattr(scripts, "LIMIT_SECONDS", 0.1)
    told = client.run(site, SCRIPT)
    (quick, quick_in_time), (slow, slow_in_time) = told["series"]

    assert told["failures"] == {}
    assert Site.most == {"/quick": 2, "/slow": 4}
    assert quick > slow > 4
    assert quick_in_time > 0.5 * quick
    assert slow_in_time < 0.5 * slow
