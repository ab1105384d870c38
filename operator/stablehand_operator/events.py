"""Kubernetes Events: what `kubectl describe` and `kubectl get events` show of the operator's actions."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Literal

from stablehand_operator.names import API_VERSION, KIND, MANAGED_BY

if TYPE_CHECKING:
    from stablehand_operator.builders import Manifest

_LONGEST_MESSAGE = 1024  # the API server's own limit


def build_event(
    body: Manifest, kind: Literal["Normal", "Warning"], reason: str, message: str, *, now: dt.datetime
) -> Manifest:
    """Return an Event about a WSGIApp.

    Args:
        body: the WSGIApp as the API server returned it.
        kind: whether it is information or a warning.
        reason: one word in CamelCase.
        message: one sentence.
        now: the moment, with its time zone.
    """
    metadata = body["metadata"]
    time = timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…",
        "source": {"component": MANAGED_BY},
        "reportingComponent": MANAGED_BY,
        "reportingInstance": MANAGED_BY,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def timestamp(moment: dt.datetime) -> str:
    """Return a moment as Kubernetes writes it: in UTC, to the second."""
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
