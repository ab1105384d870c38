"""Writes a WSGIApp's status: only when it changed, only over the version that was read, and not too often."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from stablehand_operator.cluster import ClusterError
from stablehand_operator.names import KIND
from stablehand_operator.status import is_urgent
from stablehand_operator.workqueue import RetryLater

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_operator.builders import Manifest
    from stablehand_operator.inventory import AppRecord
    from stablehand_operator.resource_status import WSGIAppStatus

logger = logging.getLogger(__name__)

NUMBERS_EVERY_SECONDS = 10.0
"""A status that differs in numbers only is written this often."""


class StatusApi(Protocol):
    """What writing needs of the cluster."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None."""

    async def write_status(self, namespace: str, name: str, status: dict[str, Any], resource_version: str) -> Manifest:
        """Replace a status, if the object is still of the version."""


class StatusWriter:
    """Writes statuses.

    Args:
        cluster: where they are written.
        clock: seconds, monotonic.
    """

    def __init__(self, cluster: StatusApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock

    async def write(self, record: AppRecord, status: WSGIAppStatus, *, at_once: bool = False) -> None:
        """Write the status, unless it has not changed, or only its numbers have and it was written recently.

        Args:
            record: the app; it takes over the resource that the write returns.
            status: the new status.
            at_once: whether it has to be written now, because it is about to be acted on.

        Raises:
            RetryLater: when the resource was changed meanwhile: it was read again, and has to be reconciled again.
            ClusterError: when the API server refused, or did not answer.
        """
        if status == record.status:
            return
        waited = self._clock() - record.status_written_at
        if not at_once and waited < NUMBERS_EVERY_SECONDS and not is_urgent(record.status, status):
            return
        try:
            body = await self._cluster.write_status(*record.key, status.to_json(), record.resource_version)
        except ClusterError as error:
            if not error.conflict:
                raise
            fresh = await self._cluster.get(KIND, *record.key)
            if fresh is not None:
                record.take(fresh)
            record.tuner_state = None
            raise RetryLater("the resource was changed meanwhile") from error
        record.status_written_at = self._clock()
        record.take(body)
