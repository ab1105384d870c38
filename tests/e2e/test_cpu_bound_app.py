"""An app that computes gets a process for each of its cores, and nothing that it cannot use."""

from __future__ import annotations

import pytest

from stablehand_dev.load import BackgroundLoad, Load


@pytest.mark.parametrize("steady_seconds", [60, pytest.param(300, marks=pytest.mark.soak)])
def test_it_ends_at_a_process_for_each_core_without_threads_and_stays_there(
    new_app, cpu_bound, waiting, steady_seconds, record_soak
):
    app = new_app("cpu")
    app.apply(cpu_bound)
    app.wait_until_ready()

    with BackgroundLoad(Load(app.url(), connections=16, duration=600)) as load:
        waiting("two processes", lambda: app.active().get("workers") == 2, 120)
        waiting("the trial to be kept", lambda: "keep" in [each["action"] for each in app.status()["history"]], 120)
        settled = len(load.series)
        generation = changes(app)
        waiting("a steady time", lambda: len(load.series) >= settled + steady_seconds, steady_seconds + 30)
        active = app.active()
        result = load.stop()

    record_soak(
        steady_seconds=steady_seconds,
        settings=active,
        settled_after_seconds=settled,
        later_changes=len(changes(app)) - len(generation),
        requests=result.requests,
        failed=result.failed,
    )
    assert active["workers"] * active["threads"] == 2, active
    assert changes(app) == generation
    assert not result.failures, result.examples


def changes(app):
    """The decisions that changed settings."""
    return [each for each in app.status()["history"] if each["action"] in {"apply", "roll_back"}]
