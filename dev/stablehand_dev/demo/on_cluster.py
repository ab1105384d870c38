"""The demonstration's parts on a cluster: the release, the app, what its resource says, and their removal."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import yaml

from stablehand_dev.cluster import tenancy
from stablehand_dev.demo.reading import Reading, from_status
from stablehand_dev.errors import CommandFailedError
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from stablehand_dev.cluster import Cluster

NAMESPACE = "stablehand-demo"
RELEASE = "stablehand-demo"
APP = "io-bound"
_OWN = tenancy.Release(NAMESPACE, RELEASE)
_CHART = REPOSITORY / "charts" / "stablehand"
_EXAMPLE = REPOSITORY / "examples" / "io_bound" / "wsgiapp.yaml"


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """What the demonstration makes on a cluster, all of it in a namespace of its own but the definition of WSGIApp."""

    cluster: Cluster

    def install(self, operator_image: str) -> None:
        """Install the chart, or upgrade it; the operator serves the demonstration's namespace alone.

        So it can stand beside another operator on the same cluster.
        """
        repository, _, tag = operator_image.rpartition(":")
        command = [
            "upgrade", "--install", RELEASE, str(_CHART), "--namespace", NAMESPACE, "--create-namespace",
            "--set-string", f"image.repository={repository},image.tag={tag}",
            "--set", f"watchNamespaces={{{NAMESPACE}}}",
            "--wait", "--timeout", "180s",
        ]  # fmt: skip
        if self.cluster.kind != "existing" and self._definition_is_left_over():
            # On a development cluster, an unused definition may be older than these sources.
            command += ["--set", "crds.adopt=true", "--take-ownership"]
        self.cluster.helm(*command, timeout=240)

    def apply(self, image: str) -> None:
        """Apply the example again, with its poor initial settings, and wait until it serves."""
        self._kubectl("delete", "wsgiapp", APP, "--ignore-not-found", "--timeout=60s")
        self._kubectl("wait", "--for=delete", "pod", f"--selector=app.kubernetes.io/instance={APP}", "--timeout=60s")
        body = yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8"))
        body["spec"]["image"] = image
        self._kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
        try:
            self._kubectl("wait", "--for=condition=Ready", f"wsgiapp/{APP}", "--timeout=120s")
        except CommandFailedError as error:
            said = self._kubectl("describe", "wsgiapp", APP)
            raise CommandFailedError(f"{APP} does not become ready: {error}\n{said}") from error

    def read(self) -> Reading:
        """Look at the resource's status once."""
        return from_status(self._get("wsgiapp", APP).get("status") or {})

    def pods(self) -> set[tuple[str, int]]:
        """Return each pod's UID and how often its containers restarted."""
        listed = self._get("pods", f"--selector=app.kubernetes.io/instance={APP}")["items"]
        return {
            (pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"].get("containerStatuses", [])))
            for pod in listed
        }

    def table(self) -> str:
        """Return what `kubectl get wsgiapps` prints."""
        return self._kubectl("get", "wsgiapps")

    def remove(self) -> bool:
        """Remove the app, the release and the namespace; the definition too, unless it is used by others.

        Returns whether the definition is gone.
        """
        found = tenancy.look(self.cluster)
        if found.definition:
            self._kubectl("delete", "wsgiapps", "--all", "--ignore-not-found", "--timeout=60s")
        gone = tenancy.remove(self.cluster, _OWN, {NAMESPACE})
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
        return gone

    def _definition_is_left_over(self) -> bool:
        found = tenancy.look(self.cluster)
        return found.definition and not tenancy.is_used_by_others(found, _OWN, {NAMESPACE})

    def _get(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self._kubectl("get", *arguments, "-o", "json")))

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(*arguments, "--namespace", NAMESPACE, input=stdin)
