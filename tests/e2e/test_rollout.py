"""A new version, and fewer or more pods, under load: no client notices that pods come and go."""

from __future__ import annotations

import contextlib

import pytest

from stablehand_dev.load import BackgroundLoad, Load

SETTINGS = {"workerClass": "gthread", "workers": 1, "threads": 32, "workerConnections": 1000}


@pytest.fixture
def app(new_app, io_bound):
    """Two pods of the I/O-bound example, with settings that nobody changes."""
    app = new_app("rollout")
    app.apply({**io_bound, "settings": SETTINGS, "replicas": 2, "tuning": {"mode": "Off"}})
    app.wait_until_ready()
    return app


@contextlib.contextmanager
def clients(url):
    """Yield a load over kept connections and one with a connection for each request."""
    with (
        BackgroundLoad(Load(url, connections=24, duration=1800)) as kept,
        BackgroundLoad(Load(url, connections=8, duration=1800, keep_alive=False)) as fresh,
    ):
        yield kept, fresh


def serving(app):
    """The names of the pods that serve and may stay."""
    return {
        pod["metadata"]["name"]
        for pod in app.pods()
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    }


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("enough", [3_000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_rolling_updates_and_scaling_lose_no_request(app, waiting, enough, record_soak):
    def only(number, *, but=frozenset()):
        """Whether so many pods are there, all of them serving, and none of those."""
        return len(app.pods()) == number and len(serving(app) - but) == number

    rollouts = scalings = 0
    with clients(app.url()) as (kept, fresh):
        while not rollouts or sum(second.completed for load in (kept, fresh) for second in load.series) < enough:
            before = serving(app)
            patch = f'{{"spec": {{"podAnnotations": {{"version": "{rollouts}"}}}}}}'
            app.kubectl("patch", "wsgiapp", app.name, "--type=merge", "-p", patch)
            waiting("a new version on every pod", lambda before=before: only(2, but=before), 180)
            rollouts += 1
            for replicas in (3, 1, 2):
                app.kubectl("scale", "wsgiapp", app.name, f"--replicas={replicas}")
                waiting(f"{replicas} pods", lambda replicas=replicas: only(replicas), 120)
                scalings += 1
        results = [load.stop() for load in (kept, fresh)]

    record_soak(
        requests=sum(each.requests for each in results),
        failed=sum(each.failed for each in results),
        rollouts=rollouts,
        scalings=scalings,
    )
    assert not [each.examples for each in results if each.failures]
    assert all(each.requests for each in results)
