"""Every program that the tools run: found, built from Go modules, or unpacked from Debian packages; then cached.

Each function returns a path that exists. Builds are cached under a hash of all their inputs, so a second call costs
nothing and a change of the sources causes a rebuild.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster import debian
from stablehand_dev.cluster.go_toolchain import Toolchain, toolchain
from stablehand_dev.cluster.locking import locked
from stablehand_dev.paths import REPOSITORY, cache_dir
from stablehand_dev.progress import step

SOURCES = REPOSITORY / "dev" / "kubernetes"
HELM_MODULE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")


def kube() -> Path:
    """Return the Kubernetes binary; beside it lies a link for each of its components."""
    go = toolchain()
    version = kubernetes_version((SOURCES / "go.mod").read_text(encoding="utf-8"))
    inputs = [SOURCES / "go.mod", SOURCES / "go.sum", SOURCES / "main.go"]
    home = cache_dir() / "bin" / f"kubernetes-{version}-{content_key(inputs, go.version)}"
    binary = home / "kube"
    with locked(home):
        if not binary.exists():
            with step(f"Building Kubernetes {version} from Go modules (about 5 minutes the first time)"):
                _build(go, ".", binary, version_flags(version))
        for component in COMPONENTS:
            link = home / component
            if not link.is_symlink():
                link.symlink_to(binary.name)
    return binary


def pause() -> Path:
    """Return the program that holds namespaces open: the first process of each pod's sandbox, and of the node's."""
    go = toolchain()
    home = cache_dir() / "bin" / f"pause-{content_key([SOURCES / 'pause' / 'main.go'], go.version)}"
    binary = home / "pause"
    with locked(home):
        if not binary.exists():
            with step("Building the pause program"):
                _build(go, "./pause", binary, "-s -w")
    return binary


def kubectl() -> Path:
    """Return kubectl: the one-node cluster's where it has been built, else the one on the PATH, else built now."""
    built = sorted((cache_dir() / "bin").glob("kubernetes-*/kubectl"), key=lambda link: link.lstat().st_mtime)
    if built and built[-1].exists():
        return built[-1]
    found = shutil.which("kubectl")
    return Path(found) if found else kube().with_name("kubectl")


def helm() -> Path:
    """Return Helm: the one on the PATH if it is of version 3, else built from its Go module."""
    found = shutil.which("helm")
    if found is not None and commands.run([found, "version", "--template", "{{.Version}}"]).startswith("v3."):
        return Path(found)
    version = HELM_MODULE.rpartition("@")[2]
    home = cache_dir() / "bin" / f"helm-{version}"
    binary = home / "helm"
    with locked(home):
        if not binary.exists():
            go = toolchain()
            with step(f"Building Helm {version} from its Go module (about a minute)"):
                partial = home.with_name(home.name + ".partial")
                commands.run_logged(
                    [go.command, "install", "-ldflags=-s -w", HELM_MODULE],
                    _log("helm"),
                    environment={**go.environment(), "GOBIN": str(partial)},
                )
                home.mkdir(parents=True, exist_ok=True)
                (partial / "helm").rename(binary)
                partial.rmdir()
    return binary


def etcd() -> Path:
    """Return etcd, from Debian's package."""
    return debian.extracted("etcd-server") / "usr" / "bin" / "etcd"


def prometheus() -> Path:
    """Return Prometheus, from Debian's package; promtool lies beside it."""
    return debian.extracted("prometheus") / "usr" / "bin" / "prometheus"


def container_runtime() -> Path:
    """Return the root of an unpacked tree with containerd, its shim, ctr, runc and the CNI plugins."""
    return debian.extracted("containerd", "runc", "containernetworking-plugins")


def content_key(inputs: Iterable[Path], *facts: str) -> str:
    """Return a short hash of the files' contents and of further facts that a build's result depends on."""
    digest = hashlib.sha256()
    for path in inputs:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    for fact in facts:
        digest.update(f"\n{fact}".encode())
    return digest.hexdigest()[:12]


def kubernetes_version(go_mod: str) -> str:
    """Return the version of k8s.io/kubernetes that a go.mod requires, such as `v1.34.4`.

    Raises:
        ValueError: the file requires none.
    """
    for line in go_mod.splitlines():
        words = line.split()
        if words[:1] == ["k8s.io/kubernetes"]:
            return words[1]
    raise ValueError("go.mod does not require k8s.io/kubernetes")


def version_flags(version: str) -> str:
    """Return the linker's flags that tell Kubernetes its version: without them the API server reports v0.0.0."""
    major, minor, _patch = version.removeprefix("v").split(".", 2)
    base = "k8s.io/component-base/version"
    values = {
        f"{base}.gitVersion": version,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def _build(go: Toolchain, package: str, binary: Path, linker_flags: str) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    partial = binary.with_name(f"{binary.name}.partial-{os.getpid()}")
    command: list[str | Path] = [go.command, "build", f"-ldflags={linker_flags}", "-o", partial, package]
    commands.run_logged(command, _log(binary.name), environment=go.environment(), cwd=SOURCES)
    partial.rename(binary)


def _log(name: str) -> Path:
    return cache_dir() / "logs" / f"build-{name}.log"
