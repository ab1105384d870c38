"""Helm, and the chart as it renders it."""

from __future__ import annotations

import importlib.util
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stablehand_dev.cluster import binaries
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHART = REPOSITORY / "charts" / "stablehand"
KUBERNETES = "1.34.0"  # without a cluster Helm has to be told


@pytest.fixture(scope="session")
def chart() -> Path:
    """The chart's directory."""
    return CHART


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Helm and return what it said, whether it succeeded or not."""
    program = binaries.helm()

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=120)

    return run


class Rendered(list[dict[str, Any]]):
    """The objects of a rendered chart."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return [each for each in self if each["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        """The only object of a kind."""
        (found,) = self.of(kind)
        return found

    @property
    def container(self) -> dict[str, Any]:
        """The operator's container."""
        (found,) = self.one("Deployment")["spec"]["template"]["spec"]["containers"]
        return dict(found)


@pytest.fixture
def render(helm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[..., Rendered]:
    """Render the chart with some values as the release `stablehand` in the namespace `system`."""

    def run(values: dict[str, Any] | None = None, release: str = "stablehand") -> Rendered:
        given = tmp_path / "values.yaml"
        given.write_text(yaml.safe_dump(values or {}), encoding="utf-8")
        done = helm(
            "template", release, CHART, "--namespace", "system", "--kube-version", KUBERNETES, "--values", given
        )
        assert done.returncode == 0, done.stderr
        return Rendered(each for each in yaml.safe_load_all(done.stdout) if each)

    return run


@pytest.fixture
def refusal(helm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    """What Helm says to values that the chart refuses."""

    def run(values: dict[str, Any]) -> str:
        given = tmp_path / "refused.yaml"
        given.write_text(yaml.safe_dump(values), encoding="utf-8")
        done = helm("template", "stablehand", CHART, "--kube-version", KUBERNETES, "--values", given)
        assert done.returncode != 0, "these values were accepted"
        return done.stderr

    return run


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real API server without nodes: the one of the operator's tests, started anew and with nothing in it."""
    path = REPOSITORY / "tests" / "operator" / "conftest.py"
    spec = importlib.util.spec_from_file_location("operator_tests_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.ApiServer(tmp_path_factory.mktemp("apiserver"), binaries.kube(), binaries.etcd())
    try:
        server.start()
        yield server
    finally:
        server.stop()
