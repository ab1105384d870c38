"""The cluster that tests run on: one that the user named and that has nothing of Stablehand, else one of their own.

Tests never use the cluster of `make cluster` and `make demo`: theirs runs beside it and is removed when they end.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stablehand_dev.cluster import kind, tenancy
from stablehand_dev.cluster.choice import Machine, Wish, choose
from stablehand_dev.cluster.lifecycle import current
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.cluster.one_node import lifecycle as one_node
from stablehand_dev.cluster.one_node import teardown
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import cache_dir, run_dir

# 0 is the developer's cluster, 1 that of the tests of clusters; the addresses go up to 63.
_NUMBERS = range(2, 10)


class ClusterInUseError(DevelopmentError):
    """A cluster has something of Stablehand that the tests did not make; nothing was changed."""


@contextmanager
def cluster_for_tests(wish: Wish | None = None) -> Iterator[Cluster]:
    """Yield a cluster without anything of Stablehand; one that had to be started is removed afterwards.

    Args:
        wish: what the user asked for; by default what the environment says, or the cluster that he named last.

    Raises:
        ClusterInUseError: the cluster that the user named has something of Stablehand.
        MissingPrerequisiteError: none was named, and none can be started here.
    """
    wish = named(wish or Wish.from_environment())
    chosen = choose(wish, Machine.this_one())
    if chosen == "existing" and wish.kubeconfig is not None:
        cluster = Cluster(wish.kubeconfig.resolve(), "existing", wish.context)
        reason = tenancy.refusal(tenancy.look(cluster))
        if reason is not None:
            raise ClusterInUseError(f"{cluster.kubeconfig}: {reason}")
        yield cluster
    elif chosen == "kind":
        name = f"{kind.NAME}-tests-{uuid.uuid4().hex[:8]}"
        try:
            yield kind.up(name)
        finally:
            kind.down(name)
    else:
        with _free_layout() as layout:
            try:
                teardown.tear_down(layout)  # its lock is free: whatever exists was left behind by a crash
                yield one_node.up(layout)
            finally:
                teardown.tear_down(layout)


def named(wish: Wish) -> Wish:
    """Return the wish, or where there is none the cluster of his own that the user named last (`up --kubeconfig`)."""
    remembered = current() if wish.kind is None else None
    if remembered is not None and remembered.kind == "existing":
        return Wish(remembered.kubeconfig, remembered.context, "existing")
    return wish


@contextmanager
def _free_layout() -> Iterator[Layout]:
    """Yield a one-node cluster's place that no other run of tests on this machine has."""
    locks = cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for number in _NUMBERS:
            name = f"{kind.NAME}-t{number}"
            try:
                stack.enter_context(FileLock(locks / f"{name}.lock").acquire(timeout=0))
            except Timeout:
                continue
            # Sockets have short paths, so it stands beside the developer's directory of what runs, not in pytest's own.
            run = Path(f"{run_dir()}-t{number}")
            yield Layout(name=name, number=number, run=run, state=cache_dir() / f"one-node-t{number}")
            return
        raise DevelopmentError(f"{len(_NUMBERS)} runs of tests have a cluster on this machine already")
