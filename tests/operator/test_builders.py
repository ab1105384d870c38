"""The manifests, against golden files. Rewrite them with STABLEHAND_UPDATE_GOLDEN=1, and read the difference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from stablehand_operator.builders import build_children, build_deployment
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.settings_file import SettingsFile

GOLDEN = Path(__file__).parent / "golden"
FILE = SettingsFile(Settings(WorkerClass.GTHREAD, 2, 8))

EVERYTHING = {
    "imagePullPolicy": "IfNotPresent",
    "imagePullSecrets": [{"name": "registry"}],
    "args": ["--max-requests=1000", "--log-level=debug"],
    "replicas": 3,
    "port": 8080,
    "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 2, "memory": "512Mi"}},
    "env": [
        {"name": "GREETING", "value": "hello"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "token"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "shop-env"}}],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "shop"}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "securityContext": {"runAsUser": 1000},
    "podSecurityContext": {"fsGroup": 1000},
    "serviceAccountName": "shop-with-rights",
    "terminationGracePeriodSeconds": 60,
    "podLabels": {"team": "web", "app.kubernetes.io/name": "cannot-win"},
    "podAnnotations": {"prometheus.io/scrape": "false"},
}


@pytest.mark.parametrize(("name", "spec"), [("plain", {}), ("everything", EVERYTHING)])
def test_the_children_of_an_app_match_the_golden_file(make_app, name, spec):
    built = yaml.safe_dump_all(build_children(make_app(**spec), FILE), sort_keys=False, width=120)
    golden = GOLDEN / f"{name}.yaml"

    if os.environ.get("STABLEHAND_UPDATE_GOLDEN"):
        golden.write_text(built, encoding="utf-8")

    assert list(yaml.safe_load_all(built)) == list(yaml.safe_load_all(golden.read_text(encoding="utf-8")))


def test_a_change_of_settings_changes_the_config_map_only(make_app):
    app = make_app()
    before = build_children(app, FILE)
    after = build_children(app, SettingsFile(Settings(WorkerClass.SYNC, 4)))

    assert [old["kind"] for old, new in zip(before, after, strict=True) if old != new] == ["ConfigMap"]


def test_every_child_is_owned_by_its_app(make_app):
    app = make_app()

    owners = [each["metadata"]["ownerReferences"] for each in build_children(app, FILE)]

    assert all(len(each) == 1 and each[0]["uid"] == app.uid and each[0]["controller"] for each in owners)


def test_no_service_account_is_made_where_the_user_names_one(make_app):
    kinds = [each["kind"] for each in build_children(make_app(serviceAccountName="mine"), FILE)]

    assert "ServiceAccount" not in kinds


@pytest.mark.parametrize("grace", [1, 2, 6, 12, 30, 300])
def test_draining_and_the_server_s_own_deadline_fit_into_the_grace_period(make_app, grace):
    container = build_deployment(make_app(terminationGracePeriodSeconds=grace))["spec"]["template"]["spec"][
        "containers"
    ][0]
    drain, graceful = (
        next(int(each.split("=")[1]) for each in container["args"] if each.startswith(flag))
        for flag in ("--drain-seconds", "--graceful-timeout")
    )

    assert drain >= 1
    assert graceful >= 1
    assert drain + graceful <= max(grace, 2)


def test_the_pod_s_own_settings_win_over_those_of_the_app(make_app):
    arguments = build_deployment(make_app())["spec"]["template"]["spec"]["containers"][0]["args"]
    files = [each.rpartition("/")[2] for each in arguments if each.startswith("--settings-file")]

    assert files == ["settings.json", "pod-settings.json"]
