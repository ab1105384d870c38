"""The main job: an app that waits is served by enough slots, and nobody notices the change."""

from __future__ import annotations

from stablehand_dev.load import BackgroundLoad, Load

START = {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000}
ENOUGH_REQUESTS = 20_000


def rate(load, seconds):
    return load.last(seconds).requests_per_second


def test_throughput_is_ten_times_the_start_within_three_minutes_without_a_restart_or_a_failed_request(
    new_app, io_bound, waiting
):
    app = new_app("io")
    app.apply(io_bound)
    app.wait_until_ready()
    identity = app.identity()
    waiting("the start to be seen", lambda: app.active() == START, 30)

    with BackgroundLoad(Load(app.url(), connections=64, duration=600)) as load:
        waiting("ten seconds of load at the start", lambda: len(load.series) >= 10 and app.active() == START, 30)
        start = rate(load, 8)
        waiting("ten times the throughput", lambda: rate(load, 5) >= 10 * start and rate(load, 5), 180 - 10)
        waiting("the trial to be kept", lambda: "keep" in [each["action"] for each in app.status()["history"]], 120)
        waiting("enough requests", lambda: sum(each.completed for each in load.series) >= ENOUGH_REQUESTS, 180)
        settled = rate(load, 10)
        result = load.stop()

    assert not result.failures, result.examples
    assert result.completed >= ENOUGH_REQUESTS
    assert settled >= 10 * start
    assert app.identity() == identity
    assert app.active() != START
