"""What tests do to a cluster that somebody named: refuse it, or leave it as it was. On a real API server with Helm."""

from __future__ import annotations

import pytest

from stablehand_dev.cluster import ClusterInUseError, cluster_for_tests, tenancy
from stablehand_dev.cluster.choice import Wish
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.cluster.tenancy import Release

pytestmark = pytest.mark.integration

OURS = Release("stablehand-e2e-1234", "stablehand-e2e-1234")
THEIRS = Release("system", "stablehand")
CRD = f"customresourcedefinition/{tenancy.DEFINITION}"
APP = {
    "apiVersion": "stablehand.dev/v1alpha1",
    "kind": "WSGIApp",
    "metadata": {"name": "shop", "namespace": "default"},
    "spec": {"image": "registry.example/shop:1", "app": "shop.wsgi:app"},
}


@pytest.fixture
def cluster(api_server):
    """The API server as a cluster; what a test leaves on it is removed."""
    cluster = Cluster(api_server.kubeconfig, "existing")
    yield cluster
    for left in tenancy.look(cluster).releases:
        cluster.helm("uninstall", left.name, "--namespace", left.namespace)
    api_server.kubectl("delete", "--ignore-not-found", "--timeout=60s", CRD)


@pytest.fixture
def install(cluster, chart):
    """Install the chart as a release, and wait until its definition is established."""

    def run(release):
        cluster.helm(
            "upgrade", "--install", release.name, str(chart), "--namespace", release.namespace, "--create-namespace"
        )
        cluster.kubectl("wait", "--for=condition=Established", CRD, "--timeout=30s")

    return run


def begin(cluster):
    """Begin a run of tests on the cluster, and end it at once."""
    with cluster_for_tests(Wish(cluster.kubeconfig, None, "existing")) as taken:
        assert taken == cluster


def uid(api_server):
    found = api_server.get(CRD)
    return found and found["metadata"]["uid"]


def test_a_cluster_without_anything_of_ours_is_taken_and_stays_empty(cluster):
    begin(cluster)

    assert tenancy.look(cluster) == tenancy.Belongings()


def test_a_cluster_with_a_release_is_refused_by_its_name_and_stays_as_it_was(cluster, install, api_server):
    install(THEIRS)
    api_server.kubectl("apply", "-f", "-", stdin=APP)
    before = api_server.get("--all-namespaces", "wsgiapps,deployments,configmaps"), uid(api_server)

    with pytest.raises(ClusterInUseError, match=r"system/stablehand.*default/shop"):
        begin(cluster)

    assert (api_server.get("--all-namespaces", "wsgiapps,deployments,configmaps"), uid(api_server)) == before


def test_a_definition_applied_by_hand_is_a_reason_to_refuse(cluster, api_server, chart):
    api_server.kubectl("create", "-f", str(chart / "files" / "wsgiapps.yaml"))

    with pytest.raises(ClusterInUseError, match="CustomResourceDefinition"):
        begin(cluster)

    assert uid(api_server)


def test_an_operator_without_helm_and_without_a_definition_is_a_reason_to_refuse(cluster, api_server, render):
    deployment = render().one("Deployment")
    deployment["metadata"].pop("namespace", None)
    api_server.kubectl("create", "--namespace=default", "-f", "-", stdin=deployment)
    try:
        with pytest.raises(ClusterInUseError, match=r"operators \(default/stablehand\)"):
            begin(cluster)
    finally:
        api_server.kubectl("delete", "deployment", "stablehand")


def test_a_run_removes_its_own_release_and_the_definition_that_came_with_it(cluster, install, api_server):
    install(OURS)

    assert tenancy.remove(cluster, OURS, {OURS.namespace})

    assert tenancy.look(cluster) == tenancy.Belongings()
    assert uid(api_server) is None


def test_a_definition_that_somebody_has_begun_to_use_meanwhile_stays_with_every_app(cluster, install, api_server):
    install(OURS)
    api_server.kubectl("apply", "-f", "-", stdin=APP)
    before = uid(api_server)

    assert not tenancy.remove(cluster, OURS, {OURS.namespace})

    assert uid(api_server) == before
    assert api_server.get("wsgiapp", "shop")
    assert tenancy.look(cluster).releases == ()


def test_the_definition_of_another_release_is_neither_taken_over_nor_removed(cluster, install, api_server):
    install(THEIRS)
    before = uid(api_server)
    install(OURS)
    assert tenancy.look(cluster).owner == THEIRS

    assert not tenancy.remove(cluster, OURS, {OURS.namespace})

    assert (uid(api_server), tenancy.look(cluster).owner) == (before, THEIRS)
    assert tenancy.look(cluster).releases == (THEIRS,)
