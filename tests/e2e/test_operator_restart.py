"""The operator may die at any moment: its successor knows what was meant, and applies nothing twice."""

from __future__ import annotations

import itertools
import json

from stablehand_dev.load import BackgroundLoad, Load


def test_the_successor_finishes_or_undoes_a_change_and_no_request_fails(new_app, io_bound, operator, cluster, waiting):
    app = new_app("successor")
    app.apply(io_bound)
    app.wait_until_ready()
    identity = app.identity()

    with BackgroundLoad(Load(app.url(), connections=64, duration=600)) as load:
        waiting("a change to begin", lambda: changes(app), 120, every=0.1)
        (pod,) = operator.pods()
        cluster.kubectl(
            "delete", "pod", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--grace-period=0", "--force"
        )
        waiting("the change to be finished or undone", lambda: ended(app), 180)
        result = load.stop()

    # Nothing twice: each change that the history tells is a different one, and the server switched no more often.
    targets = [json.dumps(each["to"], sort_keys=True) for each in changes(app)]
    assert all(one != next_one for one, next_one in itertools.pairwise(targets)), targets
    assert not result.failures, result.examples
    assert app.identity() == identity


def changes(app):
    """The decisions that changed settings."""
    return [each for each in app.status().get("history", []) if each["action"] in {"apply", "roll_back"}]


def ended(app):
    """Whether a change was kept or undone."""
    return [each for each in app.status()["history"] if each["action"] in {"keep", "roll_back"}]
