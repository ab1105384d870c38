"""The demonstration takes a definition over only where nobody uses it any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stablehand_dev.cluster.model import Cluster
from stablehand_dev.demo.on_cluster import NAMESPACE, RELEASE, Demonstration

THEIRS = {"name": "stablehand", "namespace": "system", "chart": "stablehand-0.1.0"}
OWN = {"name": RELEASE, "namespace": NAMESPACE, "chart": "stablehand-0.1.0"}
ORPHAN = {"metadata": {"annotations": {"meta.helm.sh/release-name": "old", "meta.helm.sh/release-namespace": "system"}}}


@pytest.fixture
def install(monkeypatch):
    """Install on a cluster that has this; returns the arguments that Helm was called with."""

    def run(*, kind="one-node", definition=ORPHAN, releases=(), apps=()):
        said = []
        items = [{"metadata": {"namespace": namespace, "name": "shop"}} for namespace in apps]

        def kubectl(_, *arguments, **__):
            if arguments[:2] == ("get", "crd"):
                return json.dumps(definition) if definition else ""
            return json.dumps({"items": items if "wsgiapps" in arguments[1] else []})

        def helm(_, *arguments, **__):
            said.append(arguments)
            return json.dumps(releases) if arguments[0] == "list" else ""

        monkeypatch.setattr(Cluster, "kubectl", kubectl)
        monkeypatch.setattr(Cluster, "helm", helm)
        Demonstration(Cluster(Path("kubeconfig"), kind)).install("stablehand/operator:1")
        return said[-1]

    return run


def test_a_definition_left_over_on_a_cluster_for_development_is_renewed(install):
    assert "--take-ownership" in install()
    assert "--take-ownership" in install(releases=[OWN], apps=[NAMESPACE])


@pytest.mark.parametrize(
    "used", [{"releases": [THEIRS]}, {"apps": ["default"]}, {"kind": "existing"}, {"definition": None}]
)
def test_a_definition_that_somebody_uses_is_never_taken_over(install, used):
    assert "--take-ownership" not in install(**used)
