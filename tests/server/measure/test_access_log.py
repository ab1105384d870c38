from __future__ import annotations

import datetime as dt
import http.client
import json
import select
import signal
import threading
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

import stablehand_server.config.flags  # noqa: F401 (its import adds our settings to gunicorn's configuration)
from stablehand_server.measure import access_log

FIELDS = {
    "time", "method", "path", "status", "duration_seconds", "bytes", "remote", "user_agent", "request_id", "worker",
    "worker_class",
}  # fmt: skip
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/shop?token=secret",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "192.0.2.7",
    "HTTP_USER_AGENT": "test",
}
TOOK = dt.timedelta(seconds=1.25)


def logger_of(config, **settings):
    for name, value in settings.items():
        config.set(name, value)
    access_log.configure(config)
    return config.logger_class(config)


@pytest.fixture
def config():
    return Config()


@pytest.fixture
def line_of(config, tmp_path):
    """Log one request as JSON, and return the line's object."""
    logger = logger_of(config, access_log_json=True, accesslog=str(tmp_path / "access"))

    def line(status="200 OK", request=(), took=TOOK, **environ):
        response = SimpleNamespace(status=status, sent=5, headers=[])
        logger.access(response, SimpleNamespace(headers=list(request)), ENVIRON | environ, took)
        lines = (tmp_path / "access").read_text().splitlines(keepends=True)
        assert lines[-1].endswith("\n")
        return json.loads(lines[-1])

    yield line
    for handler in logger.access_log.handlers:
        handler.close()
    logger.access_log.handlers.clear()


def test_a_line_has_every_field_and_nothing_of_the_query(line_of):
    line = line_of()

    assert line.keys() == FIELDS
    assert line | {"time": "", "request_id": ""} == {
        "time": "", "method": "GET", "path": "/shop", "status": 200, "duration_seconds": 1.25, "bytes": 5,
        "remote": "192.0.2.7", "user_agent": "test", "request_id": "", "worker": None, "worker_class": None,
    }  # fmt: skip
    assert dt.datetime.fromisoformat(line["time"]).utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("status", ["404 Not Found", b"404 Not Found", 404, "404"])
def test_the_status_is_a_number_however_the_worker_class_passes_it(line_of, status):
    assert line_of(status=status)["status"] == 404


@pytest.mark.parametrize("offered", ["7b2e", "a-b_c.d~e:f/g+h=i@j", "x" * 128])
def test_a_safe_request_id_is_kept(offered):
    assert access_log.request_id(offered) == offered


@pytest.mark.parametrize("offered", [None, "", "x" * 129, "a b", 'a"b', "a\nb", "é", "a\n"])
def test_any_other_request_id_gives_way_to_a_new_one(offered):
    first, second = access_log.request_id(offered), access_log.request_id(offered)

    assert first != offered
    assert first != second
    assert access_log.request_id(first) == first


def test_the_app_finds_the_id_that_is_logged(line_of):
    seen = []
    app = access_log.identified(lambda environ, _: seen.append(environ["HTTP_X_REQUEST_ID"]))
    app(ENVIRON | {"HTTP_X_REQUEST_ID": "not safe"}, None)

    assert line_of()["request_id"] == seen[0] != "not safe"


def test_a_request_that_never_came_inside_the_app_does_not_get_the_id_of_the_one_before(line_of):
    app = access_log.identified(lambda environ, _: environ)
    former = app(dict(ENVIRON), None)["HTTP_X_REQUEST_ID"]

    assert line_of(RAW_URI="/malformed")["request_id"] != former


def test_threads_do_not_mix_up_their_requests(line_of):
    seen = {}
    inside = threading.Barrier(2)

    def serve(uri):
        app = access_log.identified(lambda environ, _: environ)
        served = app(ENVIRON | {"RAW_URI": uri}, None)
        inside.wait(timeout=10)
        seen[served["HTTP_X_REQUEST_ID"]] = uri

    def serve_and_log(uri):
        serve(uri)
        line = line_of(RAW_URI=uri)
        assert seen[line["request_id"]] == line["path"]

    threads = [threading.Thread(target=serve_and_log, args=(uri,)) for uri in ("/a", "/b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2


@pytest.mark.parametrize("hostile", ['a"}\n{"status":200', "\x00\x1b[31m", "é" * 5000, "\x00" * 8000])
def test_no_client_can_break_a_line_or_make_it_longer_than_what_a_pipe_keeps_whole(line_of, tmp_path, hostile):
    line_of(RAW_URI="/" + hostile, HTTP_USER_AGENT=hostile, REQUEST_METHOD=hostile, REMOTE_ADDR=hostile)

    (written,) = (tmp_path / "access").read_bytes().splitlines(keepends=True)
    assert len(written) <= select.PIPE_BUF


def test_headers_are_found_in_a_request_that_failed_before_it_had_an_environ(line_of):
    line = line_of(request=[("X-REQUEST-ID", "abc"), ("USER-AGENT", "other")])
    failed = line_of(HTTP_USER_AGENT=None, request=[("USER-AGENT", "other")])

    assert line["request_id"] == "abc"
    assert failed["user_agent"] == "other"


def test_without_the_flag_the_log_is_gunicorn_s(config, tmp_path):
    logger = logger_of(config, accesslog=str(tmp_path / "access"))
    response = SimpleNamespace(status="200 OK", sent=5, headers=[])
    logger.access(response, SimpleNamespace(headers=[]), ENVIRON | {"HTTP_USER_AGENT": 'a"b'}, TOOK)

    assert '"GET /shop?token=secret HTTP/1.1" 200 5 "-" "a\\"b"' in (tmp_path / "access").read_text()
    for handler in logger.access_log.handlers:
        handler.close()
    logger.access_log.handlers.clear()


def test_without_a_file_it_goes_to_stdout(config):
    config.set("access_log_json", True)
    access_log.configure(config)

    assert config.accesslog == "-"


def test_statsd_works_together_with_json(config):
    config.set("statsd_host", "localhost:8125")
    config.set("access_log_json", True)
    access_log.configure(config)

    assert config.logger_class is access_log.StatsdAccessLogger


def test_a_logger_class_of_the_user_s_own_stays_and_cannot_be_had_with_json(config):
    class Own(Logger):
        pass

    config.set("logger_class", Own)
    access_log.configure(config)
    assert config.logger_class is Own

    config.set("access_log_json", True)
    with pytest.raises(RuntimeError, match="--access-log-json cannot be had with --logger-class"):
        access_log.configure(config)


def lines_of(server):
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


@pytest.mark.integration
@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_each_class_logs_its_requests_with_id_and_worker(launch, until, worker_class):
    flags = ("--threads", "2") if worker_class == "gthread" else ()
    server = launch("--access-log-json", "--worker-class", worker_class, *flags, app="identified:app")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    answers = []
    for headers in ({"X-Request-Id": "from-a-proxy"}, {}, {"X-Request-Id": "not safe"}):
        connection.request("GET", "/some/path?x=1", headers=headers)
        answers.append(connection.getresponse().read().decode())
    connection.close()
    until(lambda: len(lines_of(server)) == 3)

    lines = lines_of(server)
    assert [line["request_id"] for line in lines] == answers
    assert answers[0] == "from-a-proxy"
    assert {(line["path"], line["status"], line["worker"], line["worker_class"]) for line in lines} == {
        ("/some/path", 200, 0, worker_class)
    }
    assert [line["bytes"] for line in lines] == [len(answer) for answer in answers]
    assert all(0.02 <= line["duration_seconds"] < 5 for line in lines)


@pytest.mark.integration
@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_a_request_whose_app_raises_is_logged_with_its_id_and_its_true_duration(launch, until, worker_class):
    flags = ("--threads", "2") if worker_class == "gthread" else ()
    server = launch("--access-log-json", "--worker-class", worker_class, *flags, app="identified:app")
    assert server.get("/raise")[0] == 500
    until(lambda: lines_of(server))

    (line,) = lines_of(server)
    assert line["status"] == 500
    assert f"raised for {line['request_id']}" in server.log()
    assert line["duration_seconds"] >= 0.02


@pytest.mark.integration
def test_json_can_be_switched_on_and_off_by_a_reload(launch, until, tmp_path):
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text("accesslog = '-'\n")
    server = launch()

    def logged():
        return len(lines_of(server)), server.log().count('"GET / HTTP/1.1" 200')

    def reload_with(content):
        done = server.switches("done")
        configuration.write_text(content)
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("done") == done + 1 and server.settled(1))

    server.get()
    until(lambda: logged() == (0, 1))
    reload_with("access_log_json = True\n")
    server.get()
    until(lambda: logged() == (1, 1))
    reload_with("accesslog = '-'\n")
    server.get()
    until(lambda: logged() == (1, 2))
