"""A database that accepts few connections, four pods, and an autoscaler: the limit is found once, then kept by all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from stablehand_dev.cluster.locking import locked
from stablehand_dev.images import builder as builders
from stablehand_dev.images import delivery
from stablehand_dev.load import BackgroundLoad, Load
from stablehand_dev.paths import REPOSITORY, cache_dir

CONNECTIONS = 20
PODS = 4
STEADY_SECONDS = 60
NOBODY = 65534  # the database wants a user with a name
SOURCES = Path(__file__).parent / "database"
START = {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000}
DATA = {"name": "data", "emptyDir": {}}


@pytest.fixture
def image(images, cluster, tmp_path):
    """The server's image with a database in it, and what connects to that."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.server}\nCOPY requirements.txt .\nRUN pip install --require-hashes -r requirements.txt\n"
    )
    (tmp_path / "requirements.txt").write_text((REPOSITORY / "requirements" / "database.txt").read_text())
    builder, reference = builders.choose(), images.server.replace("/server:", "/test-database:")
    with locked(cache_dir() / "images"):
        builder.build_app(reference, tmp_path)
    delivery.deliver(cluster, builder, reference)
    return reference


@pytest.fixture
def app(image, new_app, waiting):
    """The database, and the app in four pods."""
    app = new_app("orders")
    code = {each.name: each.read_text() for each in SOURCES.glob("*.py")}
    volumes = [{"name": "code", "configMap": {"name": "code"}}, DATA]
    mounts = [{"name": "code", "mountPath": "/srv/code"}, {"name": "data", "mountPath": "/data"}]
    database = {
        "name": "database",
        "image": image,
        "command": ["python", "/srv/code/database.py", "/data/postgres", str(CONNECTIONS)],
        "securityContext": {"runAsUser": NOBODY},
        "volumeMounts": mounts,
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
    }
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "database", "labels": {"runs": "database"}},
            "spec": {"containers": [database], "volumes": volumes, "terminationGracePeriodSeconds": 5},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "database"},
            "spec": {"selector": {"runs": "database"}, "ports": [{"port": 5432}]},
        },
    ]
    for each in objects:
        app.kubectl("apply", "-f", "-", input=json.dumps(each))
    app.kubectl("wait", "pod", "database", "--for=condition=Ready", "--timeout=120s")
    address = app.get("service", "database")["spec"]["clusterIP"]
    app.apply(
        {
            "image": image,
            "app": "app:app",
            "args": ["--pythonpath=/srv/code"],
            "env": [{"name": "PGHOST", "value": address}],
            "volumes": volumes[:1],
            "volumeMounts": mounts[:1],
            "settings": START,
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
            "tuning": {"windows": {"warmUpSeconds": 5, "decisionSeconds": 10, "trialSeconds": 10}},
        }
    )
    autoscale(app, PODS)
    app.wait_until_ready()
    waiting("all pods to be told", lambda: app.active() == START and app.status()["readyReplicas"] == PODS, 120)
    yield app
    app.kubectl("delete", "pod", "database", "--wait=false")


def autoscale(app, pods):
    """Have the autoscaler want so many pods: it needs no metrics to keep to its bounds."""
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "orders"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "stablehand.dev/v1alpha1", "kind": "WSGIApp", "name": "orders"},
            "minReplicas": pods,
            "maxReplicas": pods,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                }
            ],
        },
    }
    app.kubectl("apply", "-f", "-", input=json.dumps(scaler))


def ceilings(app):
    """What the tuner knows to be too much for all pods together."""
    known = json.loads(app.status().get("tuner") or "{}").get("known", {})
    return [each for each in known.get("ceilings", []) if each["level"] == "app"]


def use_of_the_database(app):
    """When its connections changed: what it said, the oldest first."""
    lines = app.kubectl("logs", "database").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def slots(app):
    """How many requests a pod serves at once, as the settings say."""
    active = app.active()
    each = active["workerConnections"] if active["workerClass"] in {"gevent", "asgi"} else active["threads"]
    return active["workers"] * each


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_once_the_limit_of_a_database_is_known_no_number_of_pods_exceeds_it(app, waiting, record_soak):
    load = Load(app.url(), connections=48, duration=1500)
    with BackgroundLoad(load) as searching:
        waiting("the limit to be found", lambda: ceilings(app), 300)
        waiting("the change to end", lambda: not app.status().get("canary") and is_watching(app), 120)
        found = searching.stop()
    known = ceilings(app)
    time_found = time.time()

    phases = []
    with BackgroundLoad(load) as keeping:
        for pods in (PODS, 6, 2, PODS):
            autoscale(app, pods)
            waiting(f"{pods} pods", lambda pods=pods: len(app.pods()) == app.status()["readyReplicas"] == pods, 180)
            waiting("each pod's share", lambda pods=pods: slots(app) * pods <= CONNECTIONS, 60)
            length = len(keeping.series)
            waiting("steady load", lambda length=length: len(keeping.series) >= length + STEADY_SECONDS, 120)
            rate = keeping.last(10).requests_per_second
            phases.append({"pods": pods, "settings": app.active(), "slots": slots(app), "requests_per_second": rate})
        kept = keeping.stop()

    use = use_of_the_database(app)
    before = [each for each in use if each["at"] <= time_found]
    after = [*before[-1:], *(each for each in use if each["at"] > time_found)]
    record_soak(
        ceiling=known,
        requests_while_searching=found.requests,
        failed_while_searching=found.failed,
        requests_afterwards=kept.requests,
        failed_afterwards=kept.failed,
        most_connections_afterwards=max(each["connections"] for each in after),
        refused_afterwards=after[-1]["refused"] - after[0]["refused"],
        phases=phases,
    )
    assert after[-1]["refused"] == after[0]["refused"]
    assert max(each["connections"] for each in after) <= CONNECTIONS
    assert kept.failures == {}, kept.examples
    assert "SharedCeiling" in [each["reason"] for each in app.status()["history"]]


def is_watching(app):
    """Whether no change of settings is under way."""
    return json.loads(app.status()["tuner"])["phase"]["name"] == "watching"
