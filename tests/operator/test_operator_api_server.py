"""The operator as a process of its own, against a real API server, with exactly the rights that its document names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[2] / "docs" / "operator.md"


def documented_rules() -> list[dict[str, Any]]:
    """Read the rules of RBAC from the table in the operator's document."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Permissions")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [
        {
            "apiGroups": ["" if group == "(core)" else group.strip("`")],
            "resources": re.findall(r"`([^`]+)`", resources),
            "verbs": verbs.split(", "),
        }
        for group, resources, verbs in rows[2:]
    ]


@pytest.fixture(scope="module")
def server(api_server):
    rules = documented_rules()
    assert len(rules) > 5
    meta = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "stablehand"}}
    api_server.kubectl("apply", "-f", "-", stdin={**meta, "kind": "ClusterRole", "rules": rules})
    binding = {
        **meta,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stablehand"},
        "subjects": [{"kind": "User", "name": "operator", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    api_server.kubectl("apply", "-f", "-", stdin=binding)
    return api_server


@pytest.fixture
def namespace(server, request):
    name = "t-" + re.sub(r"[^a-z0-9]+", "-", request.node.name)[:50].strip("-")
    server.kubectl("create", "namespace", name)
    return name


NAMELESS_USER = (
    "import pwd; pwd.getpwuid = {}.__getitem__; import os; [os.environ.pop(n, 0) for n in ('USER', 'LOGNAME')]; "
)
"""A container runs as a bare number: there is no user of that number, and no variable that names one."""


class Operator:
    """A running `stablehand run`."""

    def __init__(self, server, port: int, log: Path, *options: str) -> None:
        self.server, self.port, self.log = server, port, log
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-c", NAMELESS_USER + "from stablehand_operator.cli import main; main()", "run"]
        environment = {**os.environ, "KUBECONFIG": str(self.server.operator_kubeconfig)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--bind=127.0.0.1:{self.port}", *self._options],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.server.wait_until(lambda: self.get("/readyz") == 200, f"the operator (see {self.log})")

    def stop(self, *, kill: bool = False) -> int:
        """End it, by SIGTERM or SIGKILL, and return its exit code."""
        if self.process is None:
            return 0
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait(5)

    def get(self, path: str) -> int:
        """Return the HTTP status of one of its pages; 0 when it does not answer."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.fixture
def operator(server, namespace, free_port, tmp_path):
    operator = Operator(
        server, free_port, tmp_path / "operator.log", "--namespace", namespace, "--scrape-interval", "0.5"
    )
    operator.start()
    yield operator
    operator.stop()


class Kubectl:
    """kubectl in the test's namespace."""

    def __init__(self, server, namespace: str) -> None:
        self.server, self.namespace = server, namespace

    def __call__(self, *arguments: str, **options: Any) -> str:
        """Run kubectl."""
        text: str = self.server.kubectl("-n", self.namespace, *arguments, **options)
        return text

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get` says."""
        return self.server.get("-n", self.namespace, *arguments)

    def wait(self, condition, what: str, seconds: float = 20) -> Any:
        """Wait for a condition."""
        return self.server.wait_until(condition, what, seconds=seconds)

    def apply_app(self, **spec: Any) -> None:
        """Apply the app."""
        body = {
            "apiVersion": "stablehand.dev/v1alpha1",
            "kind": "WSGIApp",
            "metadata": {"name": "shop"},
            "spec": {"image": "registry.example/shop:1", "app": "shop:app", **spec},
        }
        self("apply", "-f", "-", stdin=body)

    def settings(self) -> Settings | None:
        """Return the settings in the ConfigMap."""
        found = self.get("configmap", "shop-settings")
        return None if found is None else Settings.from_json(found["data"]["settings.json"])

    def status(self) -> dict[str, Any]:
        """Return the app's status."""
        found: dict[str, Any] = self.get("wsgiapp", "shop").get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, str]:
        """Return one of the app's conditions."""
        return next((each for each in self.status().get("conditions", []) if each["type"] == kind), {})


@pytest.fixture
def kubectl(server, namespace):
    return Kubectl(server, namespace)


SYNC = {"workerClass": "sync", "workers": 1}


@pytest.fixture
def shop(operator, kubectl):
    kubectl.apply_app(settings=SYNC)
    kubectl.wait(lambda: kubectl.get("deployment", "shop"), "the Deployment")
    kubectl.wait(lambda: kubectl.status().get("reason"), "the status")
    return operator


def test_an_app_gets_its_children_and_they_are_its_own(shop, kubectl):
    uid = kubectl.get("wsgiapp", "shop")["metadata"]["uid"]
    children = kubectl.get(
        "deployment,service,configmap,serviceaccount", "-l", "app.kubernetes.io/managed-by=stablehand"
    )

    assert sorted((each["kind"], each["metadata"]["name"]) for each in children["items"]) == [
        ("ConfigMap", "shop-settings"),
        ("Deployment", "shop"),
        ("Service", "shop"),
        ("ServiceAccount", "shop"),
    ]
    assert {each["metadata"]["ownerReferences"][0]["uid"] for each in children["items"]} == {uid}
    assert kubectl.settings() == Settings(WorkerClass.SYNC, 1)


def test_the_status_describes_the_app_and_does_not_change(shop, kubectl):
    status = kubectl.status()
    assert status["observedGeneration"] == 1
    assert status["settings"]["desired"]["workerClass"] == "sync"
    assert status["selector"] == "app.kubernetes.io/name=wsgiapp,app.kubernetes.io/instance=shop"
    assert kubectl.condition("Ready")["reason"] == "PodsStarting"

    def at_rest():
        before = kubectl.get("wsgiapp", "shop")["metadata"]["resourceVersion"]
        time.sleep(2)  # a span in which nothing may happen, not a wait for something
        return kubectl.get("wsgiapp", "shop")["metadata"]["resourceVersion"] == before

    kubectl.wait(at_rest, "two seconds without a write")


def test_the_columns_of_kubectl_get_are_those_of_the_story(shop, kubectl):
    columns = kubectl("get", "wsgi").splitlines()[0].split()

    assert columns == ["NAME", "CLASS", "WORKERS", "THREADS", "READY", "REASON", "AGE"]


def test_kubectl_scale_works_on_the_app(shop, kubectl):
    kubectl("scale", "wsgiapp/shop", "--replicas=3")

    kubectl.wait(lambda: kubectl.get("deployment", "shop")["spec"]["replicas"] == 3, "three replicas")


def test_an_update_of_the_spec_reaches_the_children(shop, kubectl):
    kubectl.apply_app(settings=SYNC, image="registry.example/shop:2", port=8080)

    def container():
        return kubectl.get("deployment", "shop")["spec"]["template"]["spec"]["containers"][0]

    kubectl.wait(lambda: container()["image"] == "registry.example/shop:2", "the new image")
    kubectl.wait(lambda: kubectl.get("service", "shop")["spec"]["ports"][0]["port"] == 8080, "the new port")


@pytest.mark.parametrize(
    ("kind", "name", "patch", "path", "expected"),
    [
        ("deployment", "shop", {"spec": {"replicas": 5}}, ("spec", "replicas"), 1),
        (
            "configmap",
            "shop-settings",
            {"data": {"settings.json": "{"}},
            ("data", "settings.json"),
            Settings(WorkerClass.SYNC, 1).to_json() + "\n",
        ),
        ("service", "shop", {"spec": {"selector": {"app.kubernetes.io/name": "x"}}}, ("spec", "selector"), None),
    ],
)
def test_an_edit_by_hand_is_undone_at_once(shop, kubectl, kind, name, patch, path, expected):  # noqa: PLR0917 (cases)
    def value():
        found = kubectl.get(kind, name)
        for each in path:
            found = found[each]
        return found

    expected = value() if expected is None else expected
    kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    kubectl.wait(lambda: value() == expected, "the repair", seconds=10)


def test_an_edit_of_a_field_that_the_operator_does_not_own_is_left_alone(shop, kubectl):
    patch = {"metadata": {"annotations": {"team": "web"}}, "spec": {"revisionHistoryLimit": 3, "replicas": 4}}
    kubectl("patch", "deployment", "shop", "--type=merge", "-p", json.dumps(patch))
    kubectl.wait(lambda: kubectl.get("deployment", "shop")["spec"]["replicas"] == 1, "the repair of replicas")

    deployment = kubectl.get("deployment", "shop")

    assert deployment["spec"]["revisionHistoryLimit"] == 3
    assert deployment["metadata"]["annotations"]["team"] == "web"


def test_a_child_deleted_by_hand_comes_back(shop, kubectl):
    kubectl("delete", "service", "shop")

    kubectl.wait(lambda: kubectl.get("service", "shop"), "the Service", seconds=10)


def test_a_deleted_app_is_let_go_and_its_children_are_not_made_again(shop, kubectl):
    kubectl("delete", "wsgiapp", "shop", "--timeout=10s")
    # There is no garbage collector on this API server: what it would do is done by hand.
    for kind, name in (("deployment", "shop"), ("service", "shop"), ("configmap", "shop-settings")):
        kubectl("delete", kind, name, "--timeout=20s")
    time.sleep(2)  # a span in which nothing may happen, not a wait for something

    children = kubectl(
        "get", "deployment,service,configmap", "-l", "app.kubernetes.io/managed-by=stablehand", "-o", "name"
    )
    assert children == ""


def test_an_object_of_the_same_name_that_others_own_is_not_touched(operator, kubectl):
    kubectl("create", "service", "clusterip", "shop", "--tcp=80:80")
    before = kubectl.get("service", "shop")

    kubectl.apply_app(settings=SYNC)

    kubectl.wait(lambda: kubectl.condition("Ready").get("reason") == "NameTaken", "the condition")
    assert kubectl.get("service", "shop")["spec"] == before["spec"]


def test_a_manifest_that_kubernetes_refuses_is_reported_with_its_message(operator, kubectl):
    kubectl.apply_app(settings=SYNC, tolerations=[{"operator": "Sometimes"}])

    condition = kubectl.wait(
        lambda: kubectl.condition("Ready") if kubectl.condition("Ready").get("reason") == "ManifestRefused" else None,
        "the condition",
    )

    assert "Sometimes" in condition["message"]


def make_pod(kubectl, ip: str, **container: Any) -> None:
    """Make a pod by hand, as the missing controllers and the kubelet would."""
    labels = kubectl.get("deployment", "shop")["spec"]["template"]["metadata"]["labels"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop-1", "labels": labels},
        "spec": {"nodeName": "none", "containers": [{"name": "app", "image": "shop"}]},
    }
    kubectl("create", "-f", "-", stdin=body)
    ready = container.get("ready", False)
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {"name": "app", "image": "shop", "imageID": "", "restartCount": 1, "ready": ready, **container}
        ],
    }
    kubectl("patch", "pod", "shop-1", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_an_app_whose_import_fails_is_reported_in_the_condition(shop, kubectl):
    ended = {
        "exitCode": 3,
        "reason": "Error",
        "message": "Traceback ...\nModuleNotFoundError: No module named 'shop'\n",
    }
    make_pod(kubectl, "127.77.0.9", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended})

    kubectl.wait(lambda: kubectl.condition("Ready")["reason"] == "AppFailed", "the condition")

    assert kubectl.condition("Ready")["message"] == "ModuleNotFoundError: No module named 'shop'"
    assert kubectl.status()["reason"] == "AppFailed"


def test_what_happened_while_the_operator_was_away_is_made_good(shop, kubectl):
    started = time.monotonic()
    assert shop.stop() == 0
    assert time.monotonic() - started < 8
    kubectl("patch", "deployment", "shop", "--type=merge", "-p", '{"spec": {"replicas": 5}}')
    kubectl("delete", "configmap", "shop-settings")

    shop.start()

    kubectl.wait(lambda: kubectl.get("deployment", "shop")["spec"]["replicas"] == 1, "the repair")
    kubectl.wait(lambda: kubectl.settings() == Settings(WorkerClass.SYNC, 1), "the settings")


def test_the_operator_is_healthy_and_leaves_no_mark_of_its_framework(shop, kubectl):
    assert shop.get("/healthz") == 200
    assert "kopf" not in json.dumps(kubectl.get("wsgiapp", "shop"))
    assert "finalizers" not in kubectl.get("wsgiapp", "shop")["metadata"]


def test_the_operator_waits_for_a_definition_that_is_installed_later(bare_api_server, server, free_port, tmp_path):
    crd = server.get("crd", "wsgiapps.stablehand.dev")
    manifest = {key: crd[key] for key in ("apiVersion", "kind", "spec")} | {
        "metadata": {"name": crd["metadata"]["name"]}
    }
    server.kubectl("delete", "crd", "wsgiapps.stablehand.dev", "--timeout=30s")
    log = tmp_path / "operator.log"
    operator = Operator(server, free_port, log)
    starting = threading.Thread(target=operator.start)
    starting.start()
    try:
        server.wait_until(lambda: log.exists() and "does not know WSGIApp yet" in log.read_text(), "the warning")
        server.kubectl("apply", "-f", "-", stdin=manifest)
        starting.join(30)
        assert operator.get("/readyz") == 200
    finally:
        starting.join(30)
        operator.stop()


# --- the whole path: scrape, decide, write down, apply, nudge, tell --------------------------------------------------


class SimulatedServer(ThreadingHTTPServer):
    """The metrics of an app that waits 100 ms and computes 1 ms per request, with 64 clients, under given settings."""

    CLIENTS = 64

    def __init__(self, address: str, settings: Settings) -> None:
        self.settings = settings
        self.requests = 0.0
        self.since = time.monotonic()
        super().__init__((address, 9464), _Metrics)

    def advance(self) -> None:
        """Let the requests of the time that passed be served."""
        now = time.monotonic()
        self.requests += min(self.settings.slots, self.CLIENTS) / 0.101 * (now - self.since)
        self.since = now

    def follow(self, settings: Settings) -> None:
        """Run settings from now on."""
        self.advance()
        self.settings = settings

    def text(self) -> str:
        """Return the metrics."""
        self.advance()
        workers = self.settings.workers
        busy = min(self.settings.slots, self.CLIENTS)
        lines = ["stablehand_cpu_count 2", "stablehand_cpu_limit_cores 2", f"stablehand_generation {workers}"]
        for index in range(workers):
            label, served = f'worker="{index}"', self.requests / workers
            lines += [
                f'stablehand_worker_requests_total{{{label},code="2xx"}} {served}',
                f"stablehand_worker_busy_seconds_total{{{label}}} {served * 0.101}",
                f'stablehand_worker_cpu_seconds_total{{{label},mode="user"}} {served * 0.001}',
                f"stablehand_worker_run_delay_seconds_total{{{label}}} 0",
                f"stablehand_worker_slots{{{label}}} {self.settings.slots_per_worker}",
                f"stablehand_worker_busy_slots{{{label}}} {busy / workers}",
                f"stablehand_worker_connections{{{label}}} {busy / workers}",
                f"stablehand_worker_lag_seconds{{{label}}} 0",
                f"stablehand_worker_proportional_memory_bytes{{{label}}} 30000000",
            ]
        lines += [
            f'stablehand_workers{{state="ready"}} {workers}',
            f"stablehand_listen_backlog {self.CLIENTS - busy}",
            f'stablehand_request_duration_seconds_bucket{{le="0.1"}} {self.requests * 0.1}',
            f'stablehand_request_duration_seconds_bucket{{le="0.25"}} {self.requests}',
            f'stablehand_request_duration_seconds_bucket{{le="+Inf"}} {self.requests}',
        ]
        for name in ("sync", "gthread"):
            lines.append(f'stablehand_available_worker_class_info{{worker_class="{name}"}} 1')
        for kind in ("desired", "active"):
            lines += [
                f'stablehand_setting{{name="workers",kind="{kind}"}} {workers}',
                f'stablehand_setting{{name="threads",kind="{kind}"}} {self.settings.threads}',
                f'stablehand_setting{{name="worker_connections",kind="{kind}"}} {self.settings.worker_connections}',
                f'stablehand_setting_worker_class_info{{worker_class="{self.settings.worker_class}",kind="{kind}"}} 1',
            ]
        return "\n".join(lines) + "\n"


class _Metrics(BaseHTTPRequestHandler):
    server: SimulatedServer

    def do_GET(self) -> None:
        text = self.server.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def pod_server():
    server = SimulatedServer("127.77.0.1", Settings(WorkerClass.SYNC, 1))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


SHORT_WINDOWS = {
    "warmUpSeconds": 1,
    "warmUpRequests": 5,
    "decisionSeconds": 2,
    "minimumRequests": 5,
    "trialSeconds": 3,
    "coolDownSeconds": 1,
}


def test_an_app_that_waits_is_tuned_and_a_killed_operator_s_successor_goes_on(operator, kubectl, pod_server):
    kubectl.apply_app(settings=SYNC, tuning={"windows": SHORT_WINDOWS})
    kubectl.wait(lambda: kubectl.get("deployment", "shop"), "the Deployment")
    make_pod(kubectl, "127.77.0.1", ready=True, state={"running": {}})

    kubectl.wait(lambda: kubectl.settings() != Settings(WorkerClass.SYNC, 1), "the first change", seconds=40)
    decided = kubectl.settings()
    operator.stop(kill=True)
    operator.start()
    assert kubectl.settings() == decided, "the successor must not undo what was decided"
    pod_server.follow(decided)

    def kept() -> dict[str, Any] | None:
        pod_server.follow(kubectl.settings())  # it climbs on, step by step
        status = kubectl.status()
        return status if any(each["action"] == "keep" for each in status["history"]) else None

    settled = kubectl.wait(kept, "the trial to pass", seconds=60)
    last = kubectl.settings()
    assert decided.worker_class is last.worker_class is WorkerClass.GTHREAD
    assert decided.slots <= 2
    assert last.slots >= 10
    assert settled["settings"]["active"] == settled["settings"]["desired"]
    assert settled["observed"]["requestsPerSecond"] > 50
    assert settled["summary"]["workerClass"] == "gthread"
    reached = [each["to"] for each in settled["history"]]
    assert (reached.count(str(decided)), reached.count(str(last))) == (1, 1), "begun once, and kept once"
    assert kubectl.get("pod", "shop-1")["metadata"]["annotations"]["stablehand.dev/nudge"]
    events = kubectl.get("events")["items"]
    assert [each["reason"] for each in events].count("SettingsApplied") >= 1
    assert "SettingsApplied" in kubectl("describe", "wsgiapp", "shop")
