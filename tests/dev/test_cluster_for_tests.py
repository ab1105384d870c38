"""Which cluster tests get: never the developer's own, and of those that somebody named only an empty one."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.cluster import ClusterInUseError, cluster_for_tests, for_tests, kind, lifecycle, tenancy
from stablehand_dev.cluster.choice import Machine, Wish
from stablehand_dev.cluster.for_tests import named
from stablehand_dev.cluster.model import Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from stablehand_dev.cluster.one_node.layout import Layout

WITH_KIND = Machine(system="linux", root=False, apt=False, kind=True, docker=True)
ROOT_ON_DEBIAN = Machine(system="linux", root=True, apt=True, kind=False, docker=False)
FAKE_KIND = """#!/bin/sh
echo "$@" >> {log}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    kubeconfig = tmp_path / "theirs"
    kubeconfig.touch()
    return kubeconfig


@pytest.fixture
def run_dir(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories of the test's own for all that a cluster keeps; nothing was named in the environment."""
    for name in ("KUBECONFIG", "STABLEHAND_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "run"
    for module in (lifecycle, for_tests, kind):
        monkeypatch.setattr(module, "run_dir", lambda: directory)
    return directory


def on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "this_one", classmethod(lambda _: machine))


def answering(
    monkeypatch: pytest.MonkeyPatch, *, crd: str = "", items: object = (), releases: object = ()
) -> list[str]:
    """Let every cluster say this; returns the command lines that it was asked with."""
    asked: list[str] = []

    def kubectl(_: Cluster, *arguments: str, **__: object) -> str:
        asked.append(f"kubectl {' '.join(arguments)}")
        return crd if arguments[:2] == ("get", "crd") else json.dumps({"items": []})

    def helm(_: Cluster, *arguments: str, **__: object) -> str:
        asked.append(f"helm {' '.join(arguments)}")
        return json.dumps(releases)

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    monkeypatch.setattr(Cluster, "helm", helm)
    return asked


@pytest.mark.usefixtures("run_dir")
def test_a_named_cluster_without_anything_of_ours_is_taken(theirs: Path, monkeypatch: pytest.MonkeyPatch):
    answering(monkeypatch)

    with cluster_for_tests(Wish(theirs, "context", "existing")) as cluster:
        assert cluster == Cluster(theirs, "existing", "context")


@pytest.mark.usefixtures("run_dir")
def test_a_named_cluster_with_a_release_of_ours_is_refused_after_nothing_but_looking(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
):
    release = {"name": "stablehand", "namespace": "system", "chart": "stablehand-0.1.0"}
    asked = answering(monkeypatch, crd=json.dumps({"metadata": {}}), releases=[release])

    with pytest.raises(ClusterInUseError, match="system/stablehand"), cluster_for_tests(Wish(theirs, None, "existing")):
        pytest.fail("the tests began")

    assert {line.split()[1] for line in asked} == {"get", "list"}


@pytest.mark.parametrize("chart", ["stablehand-demo-1.0.0", "other-stablehand-0.1.0", "cert-manager-1.0.0"])
def test_charts_of_others_are_no_reason_to_refuse(theirs: Path, chart: str, monkeypatch: pytest.MonkeyPatch):
    answering(monkeypatch, releases=[{"name": "stablehand", "namespace": "system", "chart": chart}])

    assert tenancy.look(Cluster(theirs, "existing")).releases == ()


@pytest.mark.usefixtures("run_dir")
def test_the_cluster_that_the_user_named_last_is_the_tests_too_but_none_that_we_made(theirs: Path, tmp_path: Path):
    lifecycle._remember(Cluster(tmp_path / "kubeconfig", "one-node"))
    assert named(Wish()) == Wish()

    lifecycle._remember(Cluster(theirs, "existing", "context"))
    assert named(Wish()) == Wish(theirs, "context", "existing")
    assert named(Wish(kind="one-node")) == Wish(kind="one-node")


def test_kind_makes_a_cluster_with_a_name_of_the_runs_own_and_deletes_that_alone(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log, program = tmp_path / "log", tmp_path / "bin" / "kind"
    program.parent.mkdir()
    program.write_text(FAKE_KIND.format(log=log), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    on(WITH_KIND, monkeypatch)

    with cluster_for_tests() as cluster:
        name = kind.name_of(cluster)
    with cluster_for_tests() as other:
        assert kind.name_of(other) != name

    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if name in line]
    assert name.startswith("stablehand-tests-")
    assert [line.split()[0] for line in lines] == ["create", "delete"]
    assert all(f"--name {name} " in line for line in lines)
    assert cluster.kubeconfig.parent == run_dir


@pytest.mark.usefixtures("run_dir")
def test_runs_at_the_same_time_get_a_node_each_and_neither_is_the_developers(monkeypatch: pytest.MonkeyPatch):
    on(ROOT_ON_DEBIAN, monkeypatch)
    ended: list[str] = []
    up: list[Layout] = []

    def start(layout: Layout) -> Cluster:
        up.append(layout)
        return Cluster(layout.kubeconfig, "one-node")

    monkeypatch.setattr(for_tests.one_node, "up", start)
    monkeypatch.setattr(for_tests.teardown, "tear_down", lambda layout: ended.append(layout.name))

    with contextlib.ExitStack() as both:
        clusters = [both.enter_context(cluster_for_tests()) for _ in range(2)]
        assert len({cluster.kubeconfig for cluster in clusters}) == 2
        assert {layout.number for layout in up}.isdisjoint({0, 1})
        assert len({(layout.run, layout.state, layout.name, layout.pods) for layout in up}) == 2
        started = len(ended)

    assert sorted(ended[started:]) == sorted(layout.name for layout in up)
    with cluster_for_tests() as again:
        assert again.kubeconfig == clusters[0].kubeconfig
