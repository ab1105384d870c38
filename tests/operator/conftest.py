"""What the operator's tests share: sample apps, and a real API server without nodes for the integration tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client.parser import text_string_to_metric_families

from stablehand_operator.cluster import ClusterError
from stablehand_operator.resource import WSGIApp
from stablehand_tuner.observe.observation import Observation, observe
from stablehand_tuner.observe.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from stablehand_tuner.contracts.settings import Settings


def wsgiapp_object(name: str = "shop", **spec: Any) -> dict[str, Any]:
    """Return a WSGIApp as the API server would; the spec's fields in camelCase."""
    return {
        "apiVersion": "stablehand.dev/v1alpha1",
        "kind": "WSGIApp",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": "5a1b7c1e-0000-4000-8000-000000000001",
            "generation": 1,
            "resourceVersion": "10",
        },
        "spec": {"image": "registry.example/shop:1", "app": "shop.wsgi:application", **spec},
    }


@pytest.fixture
def make_object() -> Callable[..., dict[str, Any]]:
    return wsgiapp_object


@pytest.fixture
def make_app() -> Callable[..., WSGIApp]:
    return lambda name="shop", **spec: WSGIApp.from_object(wsgiapp_object(name, **spec))


# --- a cluster in memory ---------------------------------------------------------------------------------------------


class FakeCluster:
    """As much of an API server as reconciling and tuning need: versions, conflicts, server-side apply of whole fields.

    `calls` tells in which order what was done; `failures` are raised by the next calls of a method, one each.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.calls: list[tuple[str, ...]] = []
        self.failures: dict[str, list[Exception]] = {}
        self._version = 100

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Store an object under a new version, and return it."""
        self._version += 1
        stored = json.loads(json.dumps(body))
        stored["metadata"].setdefault("uid", f"uid-{self._version}")
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[stored["kind"], stored["metadata"]["namespace"], stored["metadata"]["name"]] = stored
        return json.loads(json.dumps(stored))

    def _called(self, *call: str) -> None:
        self.calls.append(call)
        failures = self.failures.get(call[0], [])
        if failures:
            raise failures.pop(0)

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        self._called("get", kind, name)
        found = self.objects.get((kind, namespace, name))
        return None if found is None else json.loads(json.dumps(found))

    async def list_all(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        del selector
        self._called("list_all", kind)
        return [
            json.loads(json.dumps(body))
            for (of, place, _), body in self.objects.items()
            if of == kind and namespace in {None, place}
        ]

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Apply a manifest."""
        metadata = manifest["metadata"]
        self._called("apply", manifest["kind"], metadata["name"])
        old = self.objects.get((manifest["kind"], metadata["namespace"], metadata["name"]), {"metadata": {}})
        return self.put({**old, **manifest, "metadata": {**old["metadata"], **metadata}})

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> dict[str, Any]:
        """Set annotations of a pod."""
        self._called("annotate_pod", name)
        body = self.objects.get(("Pod", namespace, name))
        if body is None:
            raise ClusterError("no such pod", 404)
        kept = {**body["metadata"].get("annotations", {}), **annotations}
        body["metadata"]["annotations"] = {key: value for key, value in kept.items() if value is not None}
        return self.put(body)

    async def write_status(
        self, namespace: str, name: str, status: dict[str, Any], resource_version: str
    ) -> dict[str, Any]:
        """Replace a status, if the object is still of the version."""
        self._called("write_status", name)
        body = self.objects["WSGIApp", namespace, name]
        if body["metadata"]["resourceVersion"] != resource_version:
            raise ClusterError("the object has been modified", 409)
        return self.put({**body, "status": status})

    async def create_event(self, event: dict[str, Any]) -> None:
        """Keep an Event."""
        self._called("create_event", event["reason"])
        self.events.append(event)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def pod_object(name: str = "shop-1", *, ready: bool = True, ip: str = "127.0.0.1", **status: Any) -> dict[str, Any]:
    """Return a pod as the API server would."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-of-{name}",
            "resourceVersion": "5",
            "creationTimestamp": "2026-11-24T10:00:00Z",
            "labels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "stablehand"},
        },
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            **status,
        },
    }


@pytest.fixture
def make_pod() -> Callable[..., dict[str, Any]]:
    return pod_object


def exposition(settings: Settings, *, requests: float = 100, desired: Settings | None = None, **lines: float) -> str:
    """Return what a server's metrics endpoint says; one worker served everything."""
    text = [
        f'stablehand_worker_requests_total{{worker="0",code="2xx"}} {requests}',
        f'stablehand_worker_busy_seconds_total{{worker="0"}} {requests * 0.1}',
        f'stablehand_worker_cpu_seconds_total{{worker="0",mode="user"}} {requests * 0.001}',
        'stablehand_worker_run_delay_seconds_total{worker="0"} 0',
        f'stablehand_worker_slots{{worker="0"}} {settings.slots}',
        'stablehand_worker_busy_slots{worker="0"} 1',
        'stablehand_workers{state="ready"} 1',
        f'stablehand_request_duration_seconds_bucket{{le="0.25"}} {requests}',
        f'stablehand_request_duration_seconds_bucket{{le="+Inf"}} {requests}',
        "stablehand_cpu_count 2",
        "stablehand_generation 1",
    ]
    for kind, each in (("desired", desired or settings), ("active", settings)):
        text += [
            f'stablehand_setting{{name="workers",kind="{kind}"}} {each.workers}',
            f'stablehand_setting{{name="threads",kind="{kind}"}} {each.threads}',
            f'stablehand_setting{{name="worker_connections",kind="{kind}"}} {each.worker_connections}',
            f'stablehand_setting_worker_class_info{{worker_class="{each.worker_class}",kind="{kind}"}} 1',
        ]
    for outcome in ("done", "rejected", "rolled_back"):
        text.append(f'stablehand_generation_switches_total{{outcome="{outcome}"}} {lines.get(outcome, 0)}')
    return "\n".join(text) + "\n"


class FakePod:
    """A pod's metrics endpoint on loopback; what it answers is set by the test."""

    def __init__(self) -> None:
        self.text = ""
        self.respond: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a scrape."""
        if self.respond is not None:
            return await self.respond(request)
        return web.Response(text=self.text, content_type="text/plain")


@pytest.fixture
async def start_pod() -> AsyncIterator[Callable[[], Awaitable[FakePod]]]:
    runners: list[web.AppRunner] = []

    async def start() -> FakePod:
        pod = FakePod()
        application = web.Application()
        application.add_routes([web.get("/metrics", pod.handle)])
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pod.url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        return pod

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def make_exposition() -> Callable[..., str]:
    return exposition


def _snapshot(at: float, text: str) -> Snapshot:
    samples = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    return Snapshot.from_samples(samples, at)


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    """Return a function that gives ten seconds of a pod that runs some settings."""

    def make(settings: Settings, **lines: Any) -> Observation:
        earlier = _snapshot(0, exposition(settings, requests=0))
        return observe(earlier, _snapshot(10, exposition(settings, requests=100, **lines)))

    return make


# --- a real API server -----------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def free_port() -> int:
    return _free_port()


def _binaries() -> tuple[Path, Path]:
    """Return the Kubernetes binary and etcd: those that the environment names, else those of the development tools."""
    named = os.environ.get("STABLEHAND_KUBE_BINARY"), os.environ.get("STABLEHAND_ETCD_BINARY")
    if all(named):
        return Path(str(named[0])), Path(str(named[1]))
    from stablehand_dev.cluster import binaries  # noqa: PLC0415 (only integration tests need it)

    return binaries.kube(), binaries.etcd()


class ApiServer:
    """A kube-apiserver with its etcd: no node, no controller. `kubectl` speaks to it as an administrator."""

    def __init__(self, directory: Path, kube: Path, etcd: Path) -> None:
        self.directory = directory
        self._etcd = etcd
        self._programs = directory / "bin"
        self._programs.mkdir()
        for name in ("kube-apiserver", "kubectl"):
            (self._programs / name).symlink_to(kube.resolve())
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = _free_port()
        self.kubeconfig = self._kubeconfig("admin", "admin-token")
        self.operator_kubeconfig = self._kubeconfig("operator", "operator-token")

    def start(self) -> None:
        """Start both, and wait until requests are answered."""
        client_port, peer_port = _free_port(), _free_port()
        self._run(
            "etcd",
            self._etcd,
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{client_port}",
            f"--advertise-client-urls=http://127.0.0.1:{client_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
            "--unsafe-no-fsync",
        )
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        key_file = self.directory / "service-accounts.key"
        key_file.write_bytes(key)
        tokens = self.directory / "tokens.csv"
        tokens.write_text('admin-token,admin,1,"system:masters"\noperator-token,operator,2\n', encoding="utf-8")
        self._run(
            "kube-apiserver",
            self._programs / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.directory / 'certificates'}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=198.19.0.0/24",
            "--service-account-issuer=https://stablehand.test",
            f"--service-account-signing-key-file={key_file}",
            f"--service-account-key-file={key_file}",
            # There is no controller that would make service accounts for namespaces.
            "--disable-admission-plugins=ServiceAccount",
        )
        self.wait_until(self._is_ready, "the API server to be ready", seconds=60)

    def stop(self) -> None:
        """End both at once: nothing of what they keep is wanted any more."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(20)

    def kubectl(self, *arguments: str, stdin: Any = None, check: bool = True) -> str:
        """Run kubectl; `stdin` is an object that becomes JSON. Raises AssertionError with kubectl's own words."""
        done = subprocess.run(
            [self._programs / "kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout if done.returncode == 0 else done.stderr

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get` says, as JSON; None when there is no such object."""
        text = self.kubectl("get", "--ignore-not-found", "-o", "json", *arguments)
        return json.loads(text) if text.strip() else None

    def wait_until(self, condition: Callable[[], Any], what: str, *, seconds: float = 30) -> Any:
        """Return the condition's first true value; AssertionError when it does not come in time."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            dead = [process.args for process in self._processes if process.poll() is not None]
            assert not dead, f"{dead} ended while waiting for {what}: see {self.directory}"
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def _run(self, name: str, *command: Any) -> None:
        with (self.directory / f"{name}.log").open("wb") as log:
            arguments = [str(each) for each in command]
            self._processes.append(subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT))

    def _is_ready(self) -> bool:
        return "ok" in self.kubectl("get", "--raw", "/readyz", check=False)[:2] and bool(
            self.get("namespace", "default")
        )

    def _kubeconfig(self, user: str, token: str) -> Path:
        path = self.directory / f"{user}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True},
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        path.chmod(0o600)
        return path


@pytest.fixture(scope="session")
def bare_api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"), *_binaries())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def api_server(bare_api_server: ApiServer) -> ApiServer:
    """The API server with the WSGIApp's definition established."""
    from stablehand_operator.crd import custom_resource_definition  # noqa: PLC0415 (as late as its use)

    bare_api_server.kubectl("apply", "--server-side", "-f", "-", stdin=custom_resource_definition())
    bare_api_server.kubectl("wait", "--for=condition=Established", "crd/wsgiapps.stablehand.dev", "--timeout=30s")
    return bare_api_server
