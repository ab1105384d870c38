from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(environ["REMOTE_ADDR"])))])
    return [environ["REMOTE_ADDR"].encode()]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "eventlet"])
def test_every_request_of_a_connection_has_the_address_that_the_proxy_has_named(run, until, worker_class):
    program = run("--worker-class", worker_class, "--proxy-protocol", "--keep-alive", "30", files={"hello.py": APP})
    until(lambda: "Serving with" in program.log(), 40)
    with program.connect() as client:
        client.settimeout(30)
        for before in (b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n", b"", b""):
            client.sendall(before + REQUEST)
            received = b""
            while b"\r\n\r\n192.0.2.7" not in received:
                data = client.recv(1000)
                assert data, program.log()
                assert b"127.0.0.1" not in data
                received += data
