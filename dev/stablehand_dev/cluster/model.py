"""What a running cluster is to those who use it: a kubeconfig, and the two commands that everybody needs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stablehand_dev import commands

Kind = Literal["existing", "kind", "one-node"]


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster that answers.

    Attributes:
        kubeconfig: the file that leads to it; never the user's default one, unless the user named that.
        kind: `existing` (named by the user, never created or removed here), `kind`, or `one-node`.
        context: the context in that file, or None for its current one.
    """

    kubeconfig: Path
    kind: Kind
    context: str | None = None

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = None) -> str:  # noqa: A002 - as in subprocess.run
        """Run kubectl on this cluster and return what it printed.

        Args:
            args: kubectl's arguments.
            input: text for its standard input, as for `apply -f -`.
            timeout: seconds after which it is given up.

        Raises:
            CommandFailedError: kubectl failed; the text carries what it said.
        """
        return commands.run([*self.kubectl_command(), *args], stdin=input, timeout=timeout)

    def helm(self, *args: str, timeout: float | None = None) -> str:
        """Run Helm on this cluster and return what it printed; errors as for `kubectl`."""
        return commands.run([*self.helm_command(), *args], timeout=timeout)

    def kubectl_command(self) -> Sequence[str]:
        """Return the start of a kubectl command line for this cluster, for those who run it themselves."""
        from stablehand_dev.cluster import binaries  # noqa: PLC0415 - a user's own kubectl needs nothing built

        context = [] if self.context is None else ["--context", self.context]
        return [str(binaries.kubectl()), "--kubeconfig", str(self.kubeconfig), *context]

    def helm_command(self) -> Sequence[str]:
        """Return the start of a Helm command line for this cluster."""
        from stablehand_dev.cluster import binaries  # noqa: PLC0415 - as above

        context = [] if self.context is None else ["--kube-context", self.context]
        return [str(binaries.helm()), "--kubeconfig", str(self.kubeconfig), *context]

    def environment(self) -> dict[str, str]:
        """Return this process's environment with KUBECONFIG set, for programs that read that."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
