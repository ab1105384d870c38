"""Which cluster to use: what the user named, else kind, else a node of our own. Pure: the facts come from outside."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stablehand_dev.cluster.model import Kind
from stablehand_dev.errors import MissingPrerequisiteError

_WHAT_TO_INSTALL = """\
No Kubernetes can be started on this machine. One of these helps:
  - Docker and kind (https://kind.sigs.k8s.io): then `make cluster` creates a kind cluster named "stablehand";
  - Linux with Debian's apt-get, as root: then `make cluster` runs a one-node Kubernetes of its own;
  - a cluster that you have: KUBECONFIG=/path/to/kubeconfig STABLEHAND_CLUSTER=existing make cluster.
`make local` needs none of them: it runs the server and the tuner without any cluster.
What was found here: {found}"""


@dataclass(frozen=True)
class Wish:
    """What the user asked for, by options or environment.

    Attributes:
        kubeconfig: the file given as an option, or exported as KUBECONFIG.
        context: the context to use in it.
        kind: the value of STABLEHAND_CLUSTER, or `existing` where --kubeconfig was given.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    kind: str | None = None

    @classmethod
    def from_environment(cls, kubeconfig: Path | None = None, context: str | None = None) -> "Wish":
        """Return the wish that options (first) and the environment express.

        KUBECONFIG alone is no wish: it is exported in many shells, for clusters that must not be touched.
        """
        if kubeconfig is not None:
            return cls(kubeconfig, context, "existing")
        exported = os.environ.get("KUBECONFIG")
        return cls(Path(exported) if exported else None, context, os.environ.get("STABLEHAND_CLUSTER") or None)


@dataclass(frozen=True)
class Machine:
    """What the choice depends on.

    Attributes:
        system: `linux`, `darwin`, ... as in sys.platform.
        root: whether this process has user id 0.
        apt: whether Debian's package manager is there.
        kind: whether the kind command is there.
        docker: whether a Docker daemon answers.
    """

    system: str
    root: bool
    apt: bool
    kind: bool
    docker: bool

    @classmethod
    def this_one(cls) -> "Machine":
        """Look at the machine; asks Docker only where kind is there to use it."""
        kind = shutil.which("kind") is not None
        return cls(
            system=sys.platform,
            root=os.geteuid() == 0,
            apt=shutil.which("apt-get") is not None,
            kind=kind,
            docker=kind and docker_runs(),
        )


def choose(wish: Wish, machine: Machine) -> Kind:
    """Return the kind of cluster to use.

    Raises:
        MissingPrerequisiteError: none is possible, or the wish cannot be met; the message says what would help.
    """
    if wish.kind == "existing":
        if wish.kubeconfig is None:
            raise MissingPrerequisiteError(
                "STABLEHAND_CLUSTER=existing needs a kubeconfig that you name: export KUBECONFIG=/path/to/kubeconfig, "
                "or give --kubeconfig. The default ~/.kube/config is never taken unasked."
            )
        if not wish.kubeconfig.is_file():
            raise MissingPrerequisiteError(f"{wish.kubeconfig}: the kubeconfig that you named is not there")
        return "existing"
    possible: dict[str, tuple[Kind, bool]] = {
        "kind": ("kind", machine.kind and machine.docker),
        "one-node": ("one-node", machine.system == "linux" and machine.root and machine.apt),
    }
    if wish.kind is not None:
        if wish.kind not in possible:
            raise MissingPrerequisiteError(f"STABLEHAND_CLUSTER={wish.kind}: known are existing, kind and one-node")
        kind, works = possible[wish.kind]
        if not works:
            raise MissingPrerequisiteError(_WHAT_TO_INSTALL.format(found=describe(machine)))
        return kind
    for kind, works in possible.values():
        if works:
            return kind
    raise MissingPrerequisiteError(_WHAT_TO_INSTALL.format(found=describe(machine)))


def describe(machine: Machine) -> str:
    """Return one line on what the machine has, for people."""
    facts = [
        ("kind", machine.kind),
        ("running Docker", machine.docker),
        ("root", machine.root),
        ("apt-get", machine.apt),
    ]
    return ", ".join([machine.system, *(name if there else f"no {name}" for name, there in facts)])


def docker_runs() -> bool:
    """Return whether a Docker daemon answers: the command alone proves nothing."""
    if shutil.which("docker") is None:
        return False
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0
