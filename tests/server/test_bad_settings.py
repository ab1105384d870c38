from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.integration

GOOD = '{"workerClass": "gthread", "workers": 2, "threads": 8, "workerConnections": 1000}'
BAD = {
    "cut short": ('{"workerClass": "sync", "work', "not JSON, or cut short"),
    "not JSON": ("workers = 3", "not JSON"),
    "no object": ("[]", "a JSON object is needed"),
    "an unknown field": (GOOD.replace("threads", "treads"), "unknown field 'treads'"),
    "a missing field": ('{"workerClass": "sync"}', "missing"),
    "an unknown class": (GOOD.replace("gthread", "quick"), "workerClass is 'quick'"),
    "no workers": (GOOD.replace("2", "0"), "workers is 0"),
    "too many workers": (GOOD.replace("2", "99999999999999999999"), "workers is 99999999999999999999"),
    "fewer than no workers": (GOOD.replace("2", "-2"), "workers is -2"),
    "a number as text": (GOOD.replace("2", '"2"'), "whole number"),
    "true threads": (GOOD.replace("8", "true"), "whole number"),
    "no class": (GOOD.replace('"gthread"', "null"), "workerClass is None"),
    "half a worker": (GOOD.replace("2", "2.5"), "whole number"),
    "threads in sync": (GOOD.replace("gthread", "sync"), "threads is 8"),
    "deep nesting": ("[" * 60_000, "nested too deeply"),
    "binary junk": (bytes(range(256)) * 4, "not UTF-8"),
    "a megabyte": ("x" * 1_000_000, "longer than"),
    "NaN": (GOOD.replace("2", "NaN"), "whole number"),
}


def test_no_bad_settings_file_fails_a_request_each_is_counted_and_logged_once_and_a_good_one_still_followed(
    launch, until
):
    server = launch("--workers", "2", "--worker-class", "gthread", "--threads", "8")
    workers = server.workers()
    with server.load(16) as load:
        until(lambda: load.last().completed)
        for count, (content, fault) in enumerate(BAD.values(), 1):
            server.write(content)
            until(lambda count=count: server.switches("rejected") >= count)
            refused = refusals(server)
            assert len(refused) == count
            assert fault in refused[-1]
            assert str(server.settings_file) in refused[-1]
        served = len(load.series)
        until(lambda: len(load.series) > served + 2)  # several looks at the file that is still bad
        assert server.switches("rejected") == len(refusals(server)) == len(BAD)
        assert server.workers() == workers
        server.settings_file.unlink()
        served = len(load.series)
        until(lambda: len(load.series) > served + 2)
        assert server.active() == ("gthread", 2, 8)
        assert server.workers() == workers
        server.configure("gthread", 3, 8)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert result.completed > 500
    assert server.switches("rejected") == len(BAD)


ODD = {
    "a directory": (lambda path: path.mkdir(), "Is a directory"),
    "a named pipe": (os.mkfifo, "it is no regular file"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "a file that cannot be read": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
}


def test_no_odd_file_stops_the_server_or_fails_a_request(launch, until):
    server = launch("--workers", "2")
    with server.load(8) as load:
        until(lambda: load.last().completed)
        for count, (make, fault) in enumerate(ODD.values(), 1):
            odd = server.settings_file.with_suffix(f".{count}")
            make(odd)
            server.settings_file.unlink(missing_ok=True)
            server.settings_file.symlink_to(odd)
            until(lambda count=count: server.switches("rejected") == count)
            assert fault in refusals(server)[-1]
            assert server.metric("settings_refused") == 1
        server.settings_file.unlink()
        server.configure("gthread", 1, 4)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.metric("settings_refused") == 0


def test_a_vanished_file_changes_nothing_and_is_followed_when_it_comes_back(launch, until):
    server = launch("--workers", "1")
    server.configure("gthread", 2, 4)
    server.settings_file.unlink()
    with server.load(8) as load:
        until(lambda: len(load.series) > 3)
        assert server.active() == ("gthread", 2, 4)
        server.configure("sync", 3)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.switches("rejected") == 0


def test_a_class_that_cannot_be_imported_here_is_refused(launch, until, tmp_path):
    (tmp_path / "gevent.py").write_text("raise ImportError('gevent is broken here')\n")
    server = launch("--workers", "1")
    server.write(GOOD.replace("gthread", "gevent").replace("8", "1"))
    until(lambda: server.switches("rejected") == 1)

    assert "workerClass gevent cannot be used" in refusals(server)[-1]
    assert server.get()[0] == 200
    assert server.active() == ("sync", 1, 1)


def test_a_bad_file_at_the_very_start_leaves_the_flags_in_force(start, until):
    server = start("--workers", "2")
    server.write("junk")
    until(lambda: server.readiness() == 200)
    until(lambda: server.switches("rejected") == 1)

    assert server.active() == ("sync", 2, 1)


def refusals(server):
    return [line for line in server.log().splitlines() if "Settings refused" in line]
