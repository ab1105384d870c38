"""With several pods a change is tried on one of them first, and only that one's clients ever meet what harms."""

from __future__ import annotations

import contextlib
import json
import textwrap

import pytest

from stablehand_dev.load import BackgroundLoad, Load

PODS = 4
START = {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000}
APP = '''
    """An app that waits, and that may not stand greenlets, as one with a client library that is no good for them."""
    import os
    import sys
    import time

    HARM = os.environ.get("HARM") == "yes"


    def among_greenlets():
        monkey = sys.modules.get("gevent.monkey")
        return monkey is not None and monkey.is_module_patched("time")


    def app(environ, start_response):
        time.sleep(0.1)
        status = "500 Internal Server Error" if HARM and among_greenlets() else "200 OK"
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
'''


@pytest.fixture
def apply(new_app, io_bound, waiting):
    """Apply the app with four pods, and wait until they serve."""

    def make(name, *, harm):
        app = new_app(name)
        code = {"app.py": textwrap.dedent(APP)}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code}
        app.kubectl("apply", "-f", "-", input=json.dumps(config_map))
        app.apply(
            {
                **io_bound,
                "app": "app:app",
                "args": ["--pythonpath=/srv/code"],
                "env": [{"name": "HARM", "value": "yes" if harm else "no"}],
                "volumes": [{"name": "code", "configMap": {"name": "code"}}],
                "volumeMounts": [{"name": "code", "mountPath": "/srv/code"}],
                "replicas": PODS,
                "settings": START,
                "tuning": {
                    "workers": {"max": 1},
                    "workerClasses": ["sync", "gevent"],
                    "windows": {"warmUpSeconds": 5, "decisionSeconds": 10, "minimumRequests": 50, "trialSeconds": 10},
                },
            }
        )
        app.wait_until_ready()
        waiting("all pods to be told", lambda: app.active() == START and app.status()["readyReplicas"] == PODS, 60)
        return app

    return make


@contextlib.contextmanager
def load_on_each_pod(app):
    """Yield the loads, by the name of the pod that each goes to."""
    with contextlib.ExitStack() as stack:
        yield {
            pod["metadata"]["name"]: stack.enter_context(
                BackgroundLoad(Load(f"http://{pod['status']['podIP']}:8000/", connections=8, duration=300))
            )
            for pod in app.pods()
        }


def actions(app):
    """What was decided, the oldest first."""
    return [each["action"] for each in reversed(app.status().get("history", []))]


def test_a_canary_that_helps_is_promoted_without_a_failed_request(apply, waiting):
    app = apply("good", harm=False)
    identity = app.identity()

    with load_on_each_pod(app) as loads:
        canary = waiting("a canary", lambda: app.status().get("canary"), 120)
        waiting("its promotion", lambda: "promote" in actions(app), 180)
        waiting("all pods on the new settings", lambda: app.active().get("workerClass") == "gevent", 60)
        results = {pod: load.stop() for pod, load in loads.items()}

    assert canary["pod"] in loads
    assert canary["settings"]["workerClass"] == "gevent"
    assert not [(pod, each.examples) for pod, each in results.items() if each.failures]
    assert app.identity() == identity
    waiting("no pod with settings of its own", lambda: "canary" not in app.status(), 60)


def test_a_canary_that_harms_is_taken_back_and_nobody_else_met_it(apply, waiting):
    app = apply("bad", harm=True)
    identity = app.identity()

    with load_on_each_pod(app) as loads:
        canary = waiting("a canary", lambda: app.status().get("canary"), 120)
        waiting("its end", lambda: "roll_back" in actions(app), 120)
        waiting("the old settings on every pod", lambda: app.active() == START, 60)
        waiting("the canary's class refused for now", lambda: "canary" not in app.status(), 30)
        results = {pod: load.stop() for pod, load in loads.items()}

    harmed = results.pop(canary["pod"])
    assert set(harmed.failures) == {"status_500"}, harmed.examples
    assert not [(pod, each.examples) for pod, each in results.items() if each.failures]
    assert "promote" not in actions(app)
    assert app.identity() == identity
