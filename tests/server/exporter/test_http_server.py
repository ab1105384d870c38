from __future__ import annotations

import gzip
import http.client
import socket
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stablehand_server.exporter import reading
from stablehand_server.shared_memory import Server, State


def test_metrics_are_served_in_the_plain_format(get, spawn):
    spawn(0)
    response, body = get("/metrics")

    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert {family.name for family in text_string_to_metric_families(body.decode())} >= {"stablehand_worker_slots"}


def test_metrics_are_served_as_openmetrics_and_compressed_to_who_asks_for_it(get):
    response, body = get("/metrics", Accept="application/openmetrics-text; version=1.0.0", Accept_Encoding="gzip")

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).endswith(b"# EOF\n")


def test_the_client_may_prefer_plain_text_and_no_compression_by_its_weights(get):
    accept = "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1"
    response, body = get("/metrics", Accept=accept, Accept_Encoding="gzip;q=0")

    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.headers["Content-Encoding"] is None
    assert body.startswith(b"# HELP")


def test_the_head_of_an_answer_can_be_asked_for_alone(server, spawn):
    spawn(0)
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    try:
        connection.request("HEAD", "/metrics")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert int(response.headers["Content-Length"]) > 1000
    finally:
        connection.close()


def test_a_probe_is_answered_where_no_thread_can_be_started(server, monkeypatch):
    refused = []

    def refuse(thread):
        refused.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.endswith(b"\r\n\r\nok\n")
    assert refused


def test_the_server_is_ready_once_a_worker_is(get, spawn):
    response, body = get("/readyz")
    assert (response.status, body) == (503, b"no worker is ready: none is there\n")

    spawn(0, state=State.BOOTING)
    response, body = get("/readyz")
    assert (response.status, body) == (503, b"no worker is ready: the first one boots\n")

    spawn(1)
    assert get("/readyz")[0].status == 200


def test_readiness_falls_as_soon_as_the_server_shuts_down_though_it_still_serves(get, spawn, slots):
    spawn(0)
    slots.server[Server.STOPPING] = 1
    response, body = get("/readyz")

    assert (response.status, body) == (503, b"the server is shutting down\n")
    assert get("/healthz")[0].status == 200


def test_an_unknown_path_is_answered_with_the_known_ones(get):
    response, body = get("/metric")

    assert response.status == 404
    assert b"/metrics, /readyz, /healthz" in body


def test_a_scrape_while_the_master_does_not_go_on_is_an_answer_and_no_wrong_number(get, slots, monkeypatch):
    monkeypatch.setattr(reading, "_LONGEST_WAIT_SECONDS", 0.01)
    slots.server[Server.SEQUENCE] = 1

    assert get("/metrics")[0].status == 503
    assert get("/healthz")[0].status == 200


def test_silent_clients_never_keep_a_probe_from_its_answer(get, server, spawn):
    spawn(0)
    silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(100)]
    try:
        assert get("/readyz")[0].status == 200
    finally:
        for client in silent:
            client.close()


@pytest.mark.filterwarnings("error")
def test_a_client_that_disconnects_halfway_is_not_logged(server, get, capfd):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert get("/healthz")[0].status == 200

    assert capfd.readouterr().err == ""
