"""Makes the cluster match an app's resource: applies the children, repairs drift, nudges the pods, writes the status.

Level-triggered: only the current state matters, not how it came about. Doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from stablehand_operator.builders import build_children
from stablehand_operator.cluster import ClusterError
from stablehand_operator.desired import desired_settings, noted, settings_file, with_state
from stablehand_operator.inventory import Applied, ChildKey, child_key, digest, live_digest
from stablehand_operator.names import KIND, MANAGED_BY, MANAGED_BY_LABEL, NUDGE_ANNOTATION, SETTINGS_ANNOTATION
from stablehand_operator.pods import Failure
from stablehand_operator.resource import WSGIApp
from stablehand_operator.rollout import own_settings
from stablehand_operator.status import AppView, describe, with_history, with_problem
from stablehand_operator.status_writer import StatusApi, StatusWriter
from stablehand_operator.workqueue import RetryLater
from stablehand_tuner.controller import expect_pods
from stablehand_tuner.policy import InvalidPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stablehand_operator.builders import Manifest
    from stablehand_operator.inventory import AppKey, AppRecord, Inventory
    from stablehand_operator.pods import Pod
    from stablehand_operator.telemetry import Telemetry
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.settings_file import SettingsFile
    from stablehand_tuner.lifecycle.canary import Canary

logger = logging.getLogger(__name__)


class ClusterApi(StatusApi, Protocol):
    """What reconciling needs of the cluster."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Apply a manifest on the server's side."""

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> Manifest:
        """Set annotations of a pod."""


class Refused(Exception):  # noqa: N818 (it carries a sentence for the status, it is no fault of the program)
    """A child that cannot be created until somebody changes something."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Reconciler:
    """Reconciles apps.

    Args:
        cluster: the API server.
        inventory: what was last seen of it.
        telemetry: counts what is done.
        now: the wall clock.
    """

    def __init__(
        self,
        cluster: ClusterApi,
        inventory: Inventory,
        telemetry: Telemetry,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
    ) -> None:
        self._cluster = cluster
        self._inventory = inventory
        self._telemetry = telemetry
        self._now = now
        self.statuses = StatusWriter(cluster)

    async def reconcile(self, key: AppKey) -> None:
        """Reconcile one app.

        Raises:
            RetryLater: when it has to be tried again.
        """
        record = self._inventory.apps.get(key)
        if record is None:
            return
        started = time.monotonic()
        async with record.lock:
            try:
                await self._reconcile(record)
            except RetryLater:
                self._telemetry.reconciles.labels("retry").inc()
                raise
            except ClusterError as error:
                self._telemetry.reconciles.labels("retry").inc()
                raise RetryLater(str(error)) from error
            finally:
                self._telemetry.reconcile_seconds.observe(time.monotonic() - started)
        self._telemetry.reconciles.labels("done").inc()

    async def _reconcile(self, record: AppRecord) -> None:
        try:
            app = read_app(record)
        except Refused as refused:
            generation = record.body["metadata"].get("generation", 1)
            status = with_problem(record.status, refused.failure, generation, self._now())
            await self.statuses.write(record, status)
            return
        desired, from_spec = desired_settings(app, record.status)
        if from_spec:
            # Written before it is carried out: after a crash, the next operator finds what was intended.
            settings = noted(app, record.status, desired)
            status = record.status.model_copy(update={"settings": settings, "tuner": None})
            record.tuner_state = None
            record.decision = None
            await self.statuses.write(record, status, at_once=True)
        desired = await self._share_out(record, app, desired)
        try:
            await self.carry_out(record, app, desired)
        except Refused as refused:
            self._telemetry.reconciles.labels("refused").inc()
            record.problem = refused.failure
            await self.report(record, app, desired)
            raise RetryLater(str(refused)) from refused
        record.problem = None
        await self.report(record, app, desired)

    async def carry_out(self, record: AppRecord, app: WSGIApp, settings: Settings) -> None:
        """Apply every child that differs from what it should be, and make the pods read their settings.

        Raises:
            Refused: when somebody has to change something first.
            RetryLater, ClusterError: when it may succeed later.
        """
        file = settings_file(record.state, settings)
        for manifest in build_children(app, file):
            await self._apply_child(record, app, manifest)
        await self._nudge(record, file)
        record.file = file

    async def _share_out(self, record: AppRecord, app: WSGIApp, desired: Settings) -> Settings:
        """Give each pod less of what all share before there are more pods; return what every pod should run."""
        wanted, there = app.spec.replicas, self._inventory.running_pods(record.key)
        if wanted <= there:
            return desired
        try:
            policy = app.tuning_policy()
        except InvalidPolicy:
            return desired  # the tuning loop tells of it
        now = self._now()
        state = record.state.for_image(app.identity)
        shared = expect_pods(policy, state, wanted, now.timestamp())
        if shared is None:
            return desired
        state, decision = shared
        fewer = decision.settings or desired
        status = with_history(record.status, decision, desired, now)
        status = status.model_copy(update={"settings": noted(app, status, fewer)})
        await self.statuses.write(record, with_state(status, state), at_once=True)
        record.tuner_state, record.decision = state, decision
        record.unannounced.append(decision)
        logger.info("%s: %s (%s): %s", record.key, decision.action, decision.reason, decision.message)
        return fewer

    async def report(self, record: AppRecord, app: WSGIApp, desired: Settings) -> None:
        """Write the status that follows from what is known of the app."""
        status = describe(record.status, self.view(record, app, desired), self._now())
        await self.statuses.write(record, status)

    def view(self, record: AppRecord, app: WSGIApp, desired: Settings) -> AppView:
        """Return what is known of an app."""
        return AppView(
            app=app,
            desired=desired,
            deployment=self._inventory.children.get(ChildKey("Deployment", app.namespace, app.name)),
            pods=self._inventory.pods(record.key),
            observations=record.observations,
            refusing=record.refusing,
            decision=record.decision,
            recommended=record.tuner_state.recommended if record.tuner_state else None,
            canary=record.state.canary,
            problem=record.problem,
        )

    async def _apply_child(self, record: AppRecord, app: WSGIApp, manifest: Manifest) -> None:
        key = child_key(manifest)
        live = self._inventory.children.get(key)
        before = record.applied.get(key)
        sent = digest(manifest)
        if live is not None and before == (sent, live_digest(live)):
            return
        if before is None:
            live = live or await self._cluster.get(*key)
            _refuse_to_take_over(app, key, live)
        try:
            answer = await self._cluster.apply(manifest)
        except ClusterError as error:
            if error.passing:
                raise
            raise Refused(Failure("ManifestRefused", str(error))) from error
        self._telemetry.applies.labels(key.kind).inc()
        logger.info("%s: applied %s %s", record.key, key.kind, key.name)
        self._inventory.take_child({**answer, "kind": key.kind})
        record.applied[key] = Applied(sent, live_digest(answer))

    async def _nudge(self, record: AppRecord, file: SettingsFile) -> None:
        """Annotate each pod that was not annotated for these settings, so that the kubelet syncs its volumes at once.

        Without it the kubelet would write the ConfigMap's change at its next regular sync, up to 90 s later.
        """
        wanted = digest(file.to_mapping())
        stale = [
            pod
            for pod in self._inventory.pods(record.key)
            if not pod.deleting and not pod.annotations.get(NUDGE_ANNOTATION, "").startswith(wanted)
        ]
        await self.nudge(record, stale, wanted)

    async def nudge(self, record: AppRecord, pods: Sequence[Pod], value: str) -> None:
        """Write the nudge annotation to these pods, concurrently."""
        for pod in await self._annotate([(pod, {NUDGE_ANNOTATION: value}) for pod in pods]):
            record.nudged_at[pod.uid] = time.monotonic()

    async def follow_canary(self, record: AppRecord, canary: Canary | None) -> None:
        """Give the canary its own settings, and remove those of any other pod: the kubelet syncs them within a second.

        Raises:
            ClusterError: when it may succeed later.
        """
        changes = own_settings(self._inventory.pods(record.key), canary)
        for pod in await self._annotate([(pod, {SETTINGS_ANNOTATION: value}) for pod, value in changes]):
            own = pod.annotations.get(SETTINGS_ANNOTATION)
            logger.info(
                "%s: pod %s has %s",
                record.key,
                pod.name,
                f"settings of its own: {own}" if own else "the settings of all",
            )

    async def _annotate(self, wanted: Sequence[tuple[Pod, dict[str, str | None]]]) -> list[Pod]:
        """Annotate pods, and return them as they are now; a pod that was deleted meanwhile is left out."""
        answers = await asyncio.gather(
            *(self._cluster.annotate_pod(pod.namespace, pod.name, annotations) for pod, annotations in wanted),
            return_exceptions=True,
        )
        done = []
        for answer in answers:
            if isinstance(answer, ClusterError) and answer.status == 404:  # noqa: PLR2004 (HTTP's not found)
                continue
            if isinstance(answer, BaseException):
                raise answer
            done.append(self._inventory.take_pod(answer))
        return done


def read_app(record: AppRecord) -> WSGIApp:
    """Return the app as the record has it.

    Raises:
        Refused: when its spec does not match the current schema. The API server refuses such a spec, but one that was
            stored under an older schema may still exist; then nothing of the app is changed.
    """
    try:
        return WSGIApp.from_object(record.body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = f"the spec is not valid, so nothing is changed: {field}: {first['msg']}"
        raise Refused(Failure("InvalidSpec", message)) from error


def _refuse_to_take_over(app: WSGIApp, key: ChildKey, live: Manifest | None) -> None:
    """Refuse to change an object that others own: applying would silently adopt it."""
    if live is None:
        return
    metadata = live["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or [] if each.get("controller")), None)
    if owner is None and (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY:
        return
    if owner is not None and owner["uid"] == app.uid:
        return
    if owner is not None and owner["kind"] == KIND and owner["name"] == app.name:
        raise RetryLater(f"{key.kind} {key.name} of the former {KIND} {app.name} is still being deleted")
    whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not created by Stablehand"
    raise Refused(
        Failure(
            "NameTaken",
            f"{key.kind} {key.name} exists already and {whose}: delete it, or give the app another name",
        )
    )
