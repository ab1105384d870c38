"""The second contract, in a real pod under load: what the tuner reads is there, and stays bounded."""

from __future__ import annotations

import json
import re

import httpx
from prometheus_client.parser import text_string_to_metric_families

from stablehand_dev.load import BackgroundLoad, Load
from stablehand_tuner.contracts import metric_names
from stablehand_tuner.contracts.metric_names import DEFAULT_METRICS_PORT
from stablehand_tuner.observe.snapshot import Snapshot

SWITCHES = 50


def scrape(app):
    answer = httpx.get(f"http://{app.pod_address()}:{DEFAULT_METRICS_PORT}/metrics", timeout=10)
    answer.raise_for_status()
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def value(samples, name, **labels):
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def series(samples):
    return {(each.name, tuple(sorted(each.labels.items()))) for each in samples if not each.name.endswith("_created")}


def ask_for(app, settings):
    """Change the settings as a user does."""
    patch = json.dumps({"spec": {"settings": settings}})
    app.kubectl("patch", "wsgiapp", app.name, "--type=merge", "-p", patch)


def switched(app):
    return value(scrape(app), metric_names.GENERATION_SWITCHES.sample_name, outcome="done")


def test_fifty_switches_under_load_leave_the_same_series_and_no_failed_request(new_app, io_bound, waiting):
    app = new_app("metrics")
    start = {"workerClass": "gthread", "workers": 2, "threads": 8, "workerConnections": 1000}
    other = {"workerClass": "gthread", "workers": 2, "threads": 12, "workerConnections": 1000}
    app.apply({**io_bound, "settings": start, "tuning": {"mode": "Off"}})
    app.wait_until_ready()

    with BackgroundLoad(Load(app.url(), connections=16, duration=840)) as load:
        waiting("a second of load", lambda: load.series, 30)
        before = waiting("both workers", lambda: len(workers(scrape(app))) == 2 and scrape(app), 30)
        Snapshot.from_samples(((each.name, each.labels, each.value) for each in before), at=0.0)
        for switch in range(1, SWITCHES + 1):
            ask_for(app, other if switch % 2 else start)
            waiting(f"switch {switch}", lambda wanted=switch: switched(app) >= wanted, 60, every=0.1)
        after = waiting("both workers alone", lambda: retired(scrape(app)) and scrape(app), 60)
        result = load.stop()

    assert workers(after) == {"0", "1"}
    assert series(after) == series(before)
    assert not result.failures, result.examples


def workers(samples):
    return {each.labels["worker"] for each in samples if each.name == metric_names.WORKER_SLOTS.name}


def retired(samples):
    return value(samples, metric_names.WORKERS.name, state="retiring") == 0


def test_a_bad_settings_file_changes_nothing_and_is_told(new_app, io_bound, waiting):
    app = new_app("refused")
    app.apply({**io_bound, "tuning": {"mode": "Off"}})
    app.wait_until_ready()
    waiting("the operator to know the pod", lambda: app.condition("SettingsAccepted").get("status") == "True", 60)
    (pod,) = app.pods()

    def rejected():
        # the annotation is the operator's, which removes at its next tick what others write into it
        truncated = 'stablehand.dev/settings={"workerClass": "sync", "wor'
        app.kubectl("annotate", "pod", pod["metadata"]["name"], truncated, "--overwrite")
        return value(scrape(app), metric_names.GENERATION_SWITCHES.sample_name, outcome="rejected")

    waiting("the server to reject it", rejected, 60, every=1)
    assert httpx.get(app.url(), timeout=10).status_code == 200
    told = waiting("the condition", lambda: app.condition("SettingsAccepted").get("status") == "False", 60)
    assert told
    assert re.search(r"not JSON, or cut short", app.kubectl("logs", pod["metadata"]["name"]))
