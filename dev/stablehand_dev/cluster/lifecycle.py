"""Up, down and what is up now, whichever kind of cluster it is."""

import json
from pathlib import Path

from stablehand_dev.cluster import kind, one_node
from stablehand_dev.cluster.choice import Machine, Wish, choose
from stablehand_dev.cluster.locking import locked
from stablehand_dev.cluster.model import Cluster, Kind
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import run_dir
from stablehand_dev.progress import say


def up(wish: Wish | None = None) -> Cluster:
    """Return a cluster that answers, starting one if need be. Calling it again costs little.

    Args:
        wish: what the user asked for; by default what the environment says.

    Raises:
        MissingPrerequisiteError: no cluster is possible here; the message says what to install or to name.
        DevelopmentError: it did not start; the message says where its logs are.
    """
    wish = wish or Wish.from_environment()
    with locked(run_dir()):
        remembered = current()
        if wish.kind is None and remembered is not None:
            chosen: Kind = remembered.kind
            wish = Wish(remembered.kubeconfig, remembered.context, chosen)
        else:
            chosen = choose(wish, Machine.this_one())
        if remembered is not None and remembered.kind not in {"existing", chosen}:
            raise DevelopmentError(
                f"A cluster of kind {remembered.kind} is up: take it down first (`make cluster-down`)"
            )
        if chosen == "existing" and wish.kubeconfig is not None:
            cluster = Cluster(wish.kubeconfig.resolve(), "existing", wish.context)
            cluster.kubectl("get", "--raw", "/readyz", timeout=30)
        elif chosen == "kind":
            cluster = kind.up()
        else:
            cluster = one_node.up()
        _remember(cluster)
    return cluster


def down() -> None:
    """Remove the cluster that `up` made; one that the user named is left alone, only forgotten.

    Raises:
        DevelopmentError: something of it could not be removed; the message says what.
    """
    with locked(run_dir()):
        remembered = current()
        if remembered is not None and remembered.kind == "existing":
            say(f"{remembered.kubeconfig} leads to a cluster of your own: nothing of it is removed")
        elif remembered is not None and remembered.kind == "kind":
            kind.down()
        else:
            one_node.down()
        _memory().unlink(missing_ok=True)
        _remove_if_empty(run_dir())


def current() -> Cluster | None:
    """Return the cluster that `up` was last called for and `down` not yet, without asking whether it still answers.

    Raises:
        DevelopmentError: the record of it is corrupt.
    """
    memory = _memory()
    if not memory.exists():
        return None
    try:
        note = json.loads(memory.read_text(encoding="utf-8"))
        return Cluster(Path(note["kubeconfig"]), note["kind"], note["context"])
    except (ValueError, KeyError, TypeError) as error:
        raise DevelopmentError(f"{memory} is corrupt ({error}): delete it, then run `make cluster` again") from error


def running() -> Cluster | None:
    """Return the cluster that is up and answers, or None."""
    cluster = current()
    if cluster is None:
        return None
    try:
        cluster.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
    except DevelopmentError:
        return None
    return cluster


def _remember(cluster: Cluster) -> None:
    memory = _memory()
    memory.parent.mkdir(parents=True, exist_ok=True)
    note = {"kubeconfig": str(cluster.kubeconfig), "kind": cluster.kind, "context": cluster.context}
    partial = memory.with_suffix(".partial")
    partial.write_text(json.dumps(note), encoding="utf-8")
    partial.rename(memory)


def _remove_if_empty(directory: Path) -> None:
    if directory.exists() and not any(directory.iterdir()):
        directory.rmdir()


def _memory() -> Path:
    return run_dir() / "cluster.json"
