"""A canary in the cluster: settings for one pod alone, as an annotation that a volume of the pod shows to its server.

Level-triggered, as everything here: the tuner's state names the one pod that should have settings of its own, and those
of any other pod are removed. So after a crash of the operator, or after a canary was withdrawn, it does not matter what
happened before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_operator.names import SETTINGS_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_operator.pods import Pod
    from stablehand_tuner.lifecycle.canary import Canary


def own_settings(pods: Iterable[Pod], canary: Canary | None) -> list[tuple[Pod, str | None]]:
    """Return the pods whose annotation has to change, each with its new value; None removes it."""
    changes: list[tuple[Pod, str | None]] = []
    for pod in pods:
        wanted = canary.file.to_json() if canary is not None and pod.name == canary.pod else None
        if not pod.deleting and pod.annotations.get(SETTINGS_ANNOTATION) != wanted:
            changes.append((pod, wanted))
    return changes
