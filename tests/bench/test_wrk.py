from __future__ import annotations

import pytest

from stablehand_bench import wrk
from stablehand_bench.errors import BenchError

REPORT = """Running 2s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.45ms    1.20ms  20.11ms   90.00%
    Req/Sec     9.30k   512.00     9.90k    80.00%
  Latency Distribution
     50%    3.30ms
     75%    3.60ms
     90%    4.10ms
     99%  812.00us
  18600 requests in 2.01s, 2.80MB read
"""


def test_a_report_is_read():
    seen = wrk.parse(REPORT)

    assert (seen.requests, seen.seconds, seen.failed) == (18600, 2.01, 0)
    assert seen.p99_seconds == pytest.approx(0.000812)
    assert seen.per_second == pytest.approx(18600 / 2.01)


def test_broken_connections_and_other_statuses_are_failures():
    report = REPORT + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"

    assert wrk.parse(report).failed == 15


def test_a_run_of_more_than_a_minute_is_read():
    assert wrk.parse(REPORT.replace("in 2.01s", "in 1.50m")).seconds == 90.0


def test_what_is_no_report_is_an_error_that_quotes_it():
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_missing_wrk_is_reported_with_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchError, match="apt-get install wrk"):
        wrk.require()
