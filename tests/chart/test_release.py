"""Install, uninstall, install again: what Helm may touch, and what outlives it. On a real API server."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.integration

CRD = "customresourcedefinition/wsgiapps.stablehand.dev"
APP = {
    "apiVersion": "stablehand.dev/v1alpha1",
    "kind": "WSGIApp",
    "metadata": {"name": "shop", "namespace": "default"},
    "spec": {"image": "registry.example/shop:1", "app": "shop.wsgi:app"},
}


@pytest.fixture
def release(helm, chart, api_server):
    """Run Helm on the server; every release that a test leaves is uninstalled, and the definition removed."""

    def run(*arguments, check=True):
        done = helm(*arguments, "--kubeconfig", api_server.kubeconfig)
        assert done.returncode == 0 or not check, done.stderr
        return done

    def install(name, namespace, *more, check=True):
        return run(
            "upgrade", "--install", name, chart, "--namespace", namespace, "--create-namespace", *more, check=check
        )

    run.install = install
    run.uninstall = lambda name, namespace: run("uninstall", name, "--namespace", namespace)
    yield run
    for left in json.loads(run("list", "--all-namespaces", "--output", "json").stdout):
        run.uninstall(left["name"], left["namespace"])
    api_server.kubectl("delete", "--ignore-not-found", "--timeout=60s", CRD)


@pytest.fixture
def owner(api_server):
    """Whose release the definition is, as Helm's annotations say; None when there is no definition."""

    def read():
        found = api_server.get(CRD)
        if found is None:
            return None
        annotations = found["metadata"].get("annotations", {})
        return annotations.get("meta.helm.sh/release-namespace"), annotations.get("meta.helm.sh/release-name")

    return read


def test_uninstalling_leaves_the_definition_and_every_resource(release, owner, api_server):
    release.install("stablehand", "system")
    api_server.kubectl("wait", "--for=condition=Established", CRD, "--timeout=30s")
    api_server.kubectl("apply", "-f", "-", stdin=APP)
    uid = api_server.get("wsgiapp", "shop")["metadata"]["uid"]

    release.uninstall("stablehand", "system")

    assert owner() == ("system", "stablehand")
    assert api_server.get("wsgiapp", "shop")["metadata"]["uid"] == uid
    assert api_server.get("--namespace=system", "deployment", "stablehand") is None


def test_the_same_release_takes_the_definition_up_again_and_updates_it(release, owner, api_server):
    release.install("stablehand", "system")
    release.uninstall("stablehand", "system")
    api_server.kubectl("patch", CRD, "--type=json", "-p", '[{"op": "remove", "path": "/spec/names/shortNames"}]')

    said = release.install("stablehand", "system").stdout

    assert "belongs to" not in said
    assert owner() == ("system", "stablehand")
    assert "wsgi" in api_server.get(CRD)["spec"]["names"]["shortNames"]


def test_another_release_in_another_namespace_uses_the_kept_definition_and_says_whose_it_is(release, owner):
    release.install("stablehand", "system")
    release.uninstall("stablehand", "system")

    said = release.install("other", "elsewhere").stdout

    assert "belongs to the release stablehand in the namespace system" in said
    assert owner() == ("system", "stablehand")
    release.install("other", "elsewhere")
    release.uninstall("other", "elsewhere")
    assert owner() == ("system", "stablehand")


def test_a_definition_applied_by_hand_is_used_as_it_is(release, owner, api_server, chart):
    api_server.kubectl("create", "-f", str(chart / "files" / "wsgiapps.yaml"))

    said = release.install("stablehand", "system").stdout

    assert "belongs to someone else than Helm" in said
    assert owner() == (None, None)


def test_a_definition_is_handed_over_only_when_both_the_chart_and_helm_are_told_so(release, owner):
    release.install("stablehand", "system")
    release.uninstall("stablehand", "system")

    refused = release.install("other", "elsewhere", "--set", "crds.adopt=true", check=False)
    assert refused.returncode != 0
    assert "invalid ownership metadata" in refused.stderr

    release.install("other", "elsewhere", "--set", "crds.adopt=true", "--take-ownership")
    assert owner() == ("elsewhere", "other")


def test_switching_the_definition_off_later_keeps_it(release, owner):
    release.install("stablehand", "system")
    release.install("stablehand", "system", "--set", "crds.enabled=false")
    assert owner() == ("system", "stablehand")


def test_without_a_definition_the_notes_say_what_is_missing(release, owner):
    said = release.install("stablehand", "system", "--set", "crds.enabled=false").stdout
    assert "this cluster has no definition of WSGIApp" in said
    assert owner() is None


def test_the_api_server_accepts_everything_that_the_chart_makes(release, api_server):
    release.install("stablehand", "system", "--set", "watchNamespaces={default}")
    made = api_server.get("--namespace=system", "deployment,service,configmap,serviceaccount")["items"]
    named = {(each["kind"], each["metadata"]["name"]) for each in made}
    assert named >= {
        ("Deployment", "stablehand"),
        ("Service", "stablehand-metrics"),
        ("ConfigMap", "stablehand-dashboard"),
        ("ServiceAccount", "stablehand"),
    }
    assert len(api_server.get("--namespace=default", "role,rolebinding")["items"]) == 2
