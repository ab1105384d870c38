from __future__ import annotations

import socket
import time

import pytest

from stablehand_server.measure.queueing import seconds_queued


@pytest.mark.parametrize("form", ["{:.6f}", "t={:.6f}", " t={:.3f} "])
@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_the_queue_time_counts_from_the_proxys_stamp_in_any_of_its_units(form, unit):
    header = form.format((time.time() - 2.0) * unit)

    assert seconds_queued({"HTTP_X_REQUEST_START": header}) == pytest.approx(2.0, abs=0.5)


@pytest.mark.parametrize("header", ["", "soon", "t=", "nan", "inf", "-5", "0", "99999999999999999999"])
def test_an_impossible_timestamp_is_ignored(header):
    assert seconds_queued({"HTTP_X_REQUEST_START": header}) is None


def test_a_timestamp_in_the_future_is_ignored():
    assert seconds_queued({"HTTP_X_REQUEST_START": f"t={time.time() + 60}"}) is None


def test_without_a_proxy_the_kernel_reports_how_long_ago_the_request_arrived(accepted):
    time.sleep(0.05)

    assert 0.03 <= seconds_queued({"gunicorn.socket": accepted}) <= 5.0


def test_a_unix_socket_has_no_queue_time():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert seconds_queued({"gunicorn.socket": ours}) is None
