"""A pod as the operator sees it: whether it serves, where it is scraped, and what keeps it from serving."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from stablehand_operator.names import CONTAINER, INSTANCE_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXCEPTION_LINE = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception)\b")
_LONGEST_MESSAGE = 500
_KILLED = 128 + 9  # the exit code of a container whose first process got SIGKILL
# A container waits for these in the normal course of things.
_NORMAL_WAITING = frozenset({"ContainerCreating", "PodInitializing"})


@dataclasses.dataclass(frozen=True)
class Failure:
    """What keeps a pod from serving: one word, and one sentence."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True)
class Pod:
    """What the operator reads of a pod."""

    name: str
    namespace: str
    uid: str
    app_name: str
    ip: str
    created: str
    version: int
    ready: bool
    deleting: bool
    annotations: Mapping[str, str]
    failure: Failure | None
    ended: bool = False  # its containers have run for the last time, as after an eviction
    memory_kill: str = ""  # the last of its containers that the kernel killed for want of memory; empty if none

    @property
    def should_serve(self) -> bool:
        """Whether requests are sent to the pod, so that its metrics count."""
        return self.ready and not self.deleting and bool(self.ip)

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Pod:
        """Read a pod as the API server returns it."""
        metadata, status = body["metadata"], body.get("status") or {}
        conditions = {each["type"]: each for each in status.get("conditions") or []}
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            app_name=(metadata.get("labels") or {}).get(INSTANCE_LABEL, ""),
            ip=status.get("podIP") or "",
            created=metadata.get("creationTimestamp") or "",
            version=version_of(body),
            ready=conditions.get("Ready", {}).get("status") == "True",
            deleting="deletionTimestamp" in metadata,
            annotations=dict(metadata.get("annotations") or {}),
            failure=_failure(status, conditions),
            ended=status.get("phase") in {"Succeeded", "Failed"},
            memory_kill=_memory_kill(status),
        )


def version_of(body: Mapping[str, Any]) -> int:
    """Return an object's resource version as a number: Kubernetes' own are numbers, and they grow."""
    try:
        return int(body["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return 0


def _failure(status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> Failure | None:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Failure("PodsUnschedulable", f"no node can run the pod: {scheduled.get('message') or 'no reason given'}")
    if status.get("phase") == "Failed":
        return Failure(status.get("reason") or "PodFailed", status.get("message") or "the pod failed")
    container = _container(status)
    return _container_failure(container) if container else None


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the app's container, empty before it has one."""
    return next((each for each in status.get("containerStatuses") or [] if each.get("name") == CONTAINER), {})


def _memory_kill(status: Mapping[str, Any]) -> str:
    """Return what identifies the last end of the app's container, if the kernel killed it for want of memory.

    A container in which only another process was killed may end much later, and is reported with the same reason: only
    the exit code differs.
    """
    container = _container(status)
    ends = [(container.get(each) or {}).get("terminated") for each in ("state", "lastState")]
    last: Mapping[str, Any] = next((each for each in ends if each), {})
    if last.get("reason") != "OOMKilled" or last.get("exitCode") != _KILLED:
        return ""
    return str(last.get("containerID") or last.get("finishedAt") or "")


def _container_failure(container: Mapping[str, Any]) -> Failure | None:
    if container.get("ready"):
        return None
    state = container.get("state") or {}
    terminated = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if terminated:
        return _end_of(terminated)
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if not reason or reason in _NORMAL_WAITING:
        return None
    return Failure(reason, _shortened(waiting.get("message") or f"the container waits: {reason}"))


def _end_of(terminated: Mapping[str, Any]) -> Failure | None:
    reason, code = terminated.get("reason") or "Error", terminated.get("exitCode")
    if reason == "OOMKilled":
        return Failure("OOMKilled", "the kernel killed the container: it used more than its memory limit")
    line = key_line(terminated.get("message") or "")
    if line:
        return Failure("AppFailed", line)
    if code == 0:
        return Failure("AppEnded", "the server ended by itself, without an error")
    return Failure(
        "AppFailed", f"the server ended with exit code {code} and without a message; see kubectl logs --previous"
    )


def key_line(message: str) -> str:
    """Return the most informative line of a termination message: the last exception, else the last line.

    The message is what the server wrote about its end, or the tail of its log.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    exceptions = [line for line in lines if _EXCEPTION_LINE.match(line)]
    return _shortened((exceptions or lines or [""])[-1])


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
