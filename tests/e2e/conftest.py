"""A real cluster, real images, the chart installed: shared by the session; a namespace of its own for each test."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stablehand_dev import cluster as clusters
from stablehand_dev import images as image_builds
from stablehand_dev.cluster import tenancy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_dev.cluster import Cluster
    from stablehand_dev.images import Images

# Names that nothing else on a cluster has: what carries them was made by this run.
RUN = uuid.uuid4().hex[:8]
RELEASE = tenancy.Release(namespace=f"stablehand-e2e-{RUN}", name=f"stablehand-e2e-{RUN}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster, and gets the time that a cluster takes."""
    for item in items:
        if "tests/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(900))


def wait_for(what: str, condition: Callable[[], Any], timeout: float = 60, every: float = 0.5) -> Any:
    """Poll a condition until it is true and return what it returned; fail with the last value seen."""
    deadline = time.monotonic() + timeout
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout:.0f} s in vain for {what}; last seen: {seen!r}")
        time.sleep(every)


@pytest.fixture(scope="session")
def waiting() -> Callable[..., Any]:
    """`wait_for`, for tests."""
    return wait_for


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster that has nothing of Stablehand but what this session makes; one of the session's own goes with it."""
    with clusters.cluster_for_tests() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:
    """The images of this very source, in the cluster."""
    return image_builds.ensure(cluster)


@dataclasses.dataclass
class Operator:
    """The chart's release."""

    cluster: Cluster
    images: Images

    def install(self) -> None:
        """Install or upgrade the chart, and wait until the operator is ready.

        The definition is the release's own, since the cluster had none; Helm takes nothing over from anybody.
        """
        repository, _, tag = self.images.operator.rpartition(":")
        self.cluster.helm(
            "upgrade", "--install", RELEASE.name, "charts/stablehand",
            "--namespace", RELEASE.namespace, "--create-namespace",
            "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
            "--set", "image.pullPolicy=IfNotPresent",
            "--wait", "--timeout", "120s",
        )  # fmt: skip

    def uninstall(self) -> None:
        """Uninstall the chart, and wait until the operator's pod is gone."""
        self.cluster.helm("uninstall", RELEASE.name, "--namespace", RELEASE.namespace, "--wait")
        wait_for("the operator's pod to go", lambda: not self.pods(), 90)

    def pods(self) -> list[dict[str, Any]]:
        """The operator's pods."""
        found = self.cluster.kubectl("get", "pods", "-n", RELEASE.namespace, "-o", "json")
        return list(json.loads(found)["items"])

    def logs(self) -> str:
        """What the operator logged lately."""
        return self.cluster.kubectl("logs", "-n", RELEASE.namespace, f"deployment/{RELEASE.name}", "--tail=80")


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: Images, namespaces: list[str]) -> Iterator[Operator]:
    """The operator, installed by its chart; what the session made is removed after it, and nothing else."""
    release = Operator(cluster, images)
    namespaces.append(RELEASE.namespace)
    try:
        release.install()
        yield release
    finally:
        tenancy.remove(cluster, RELEASE, namespaces)
        cluster.kubectl("delete", "namespace", RELEASE.namespace, "--ignore-not-found", "--wait=false")


@dataclasses.dataclass
class App:
    """One WSGIApp in a namespace of its own."""

    cluster: Cluster
    namespace: str
    name: str

    def apply(self, spec: dict[str, Any]) -> str:
        """Apply the resource as a user does, with kubectl."""
        manifest = {
            "apiVersion": "stablehand.dev/v1alpha1",
            "kind": "WSGIApp",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        }
        return self.cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest))

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 (subprocess calls it so, too)
        """Kubectl in the app's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *args, input=input)

    def get(self, kind: str = "wsgiapp", name: str | None = None) -> dict[str, Any]:
        """The resource, or a child of the same name."""
        return dict(json.loads(self.kubectl("get", kind, name or self.name, "-o", "json")))

    def status(self) -> dict[str, Any]:
        """The resource's status so far."""
        return dict(self.get().get("status", {}))

    def pods(self) -> list[dict[str, Any]]:
        """The app's pods."""
        found = self.kubectl("get", "pods", "-l", f"app.kubernetes.io/instance={self.name}", "-o", "json")
        return list(json.loads(found)["items"])

    def pod_address(self) -> str:
        """The address of the only pod."""
        (pod,) = self.pods()
        return str(pod["status"]["podIP"])

    def url(self) -> str:
        """The app's URL by its Service's address, which the node routes."""
        service = self.get("service")
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}/"

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition of the status, empty while it is not there."""
        return next((dict(each) for each in self.status().get("conditions", []) if each["type"] == kind), {})

    def wait_until_ready(self, timeout: float = 120) -> None:
        """Wait until the resource says that it serves."""
        wait_for(f"{self.name} to be Ready", lambda: self.condition("Ready").get("status") == "True", timeout)

    def active(self) -> dict[str, Any]:
        """The settings that the pods run, as the status tells them."""
        return dict(self.status().get("settings", {}).get("active") or {})

    def identity(self) -> set[tuple[str, int]]:
        """Each pod's UID and its containers' restarts: what live tuning must never change."""
        return {
            (pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"].get("containerStatuses", [])))
            for pod in self.pods()
        }


def has_no_pods(cluster: Cluster, namespace: str) -> bool:
    """Whether every pod of a namespace is gone."""
    return not cluster.kubectl("-n", namespace, "get", "pods", "-o", "name").strip()


@pytest.fixture(scope="session")
def namespaces(cluster: Cluster) -> Iterator[list[str]]:
    """The names of the tests' namespaces, whose end is awaited with the session's."""
    names: list[str] = []
    yield names
    gone = {f"namespace/{name}" for name in names}
    wait_for(
        "the tests' namespaces to go",
        lambda: gone.isdisjoint(cluster.kubectl("get", "namespaces", "-o", "name").split()),
        120,
    )


@pytest.fixture
def new_app(cluster: Cluster, operator: Operator, namespaces: list[str]) -> Iterator[Callable[[str], App]]:
    """Make apps, each in a namespace of its own; with the test its pods go, and then the namespace."""
    mine: list[str] = []

    def make(name: str) -> App:
        namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        cluster.kubectl("create", "namespace", namespace)
        namespaces.append(namespace)
        mine.append(namespace)
        return App(cluster, namespace, name)

    yield make
    for namespace in mine:
        # A namespace that still has pods is looked at again only after half of their grace period.
        cluster.kubectl("-n", namespace, "delete", "wsgiapp", "--all", "--ignore-not-found", "--timeout=60s")
        wait_for(f"the pods in {namespace} to go", functools.partial(has_no_pods, cluster, namespace), 120)
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="session")
def io_bound(images: Images) -> dict[str, Any]:
    """The spec of the I/O-bound example: about 1 ms of CPU and 100 ms of waiting a request, from sync × 1."""
    return {
        "image": images.example,
        "app": "io_bound.app:app",
        "settings": {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000},
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
    }


@pytest.fixture(scope="session")
def cpu_bound(images: Images) -> dict[str, Any]:
    """The spec of the CPU-bound example: about 20 ms of CPU a request, two cores, from sync × 1."""
    return {
        "image": images.example,
        "app": "cpu_bound.app:app",
        "settings": {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000},
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
    }
