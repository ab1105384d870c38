"""The loop that scrapes all pods of all apps, asks the tuner, and carries out its decisions.

Each app is tuned in a task of its own, so that a slow pod delays only its own app. The order is: scrape, observe, step,
*write the status*, then act. After a crash in between, the next reconciliation completes what was decided, because it
is in the status.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from typing import TYPE_CHECKING, Literal

from stablehand_operator.cluster import ClusterError
from stablehand_operator.desired import noted, read, settings_file, stored_state, with_state
from stablehand_operator.events import build_event
from stablehand_operator.inventory import digest
from stablehand_operator.names import SETTINGS_ANNOTATION
from stablehand_operator.reconcile import Reconciler, Refused, read_app
from stablehand_operator.scrape import ScrapeFailed, metrics_url, new_session, scrape
from stablehand_operator.status import describe, is_news, with_history
from stablehand_operator.workqueue import RetryLater
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.controller import step
from stablehand_tuner.decision import Action
from stablehand_tuner.observe.observation import CounterReset, Observation, observe
from stablehand_tuner.observe.trial_seen import TrialSeen, observe_trial
from stablehand_tuner.policy import InvalidPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Protocol

    import aiohttp

    from stablehand_operator.builders import Manifest
    from stablehand_operator.inventory import AppRecord, Inventory
    from stablehand_operator.pods import Pod
    from stablehand_operator.resource import WSGIApp
    from stablehand_operator.telemetry import Telemetry
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.snapshot import Snapshot

    class EventsApi(Protocol):
        """What Events need of the cluster."""

        async def create_event(self, event: Manifest) -> None:
            """Create a Kubernetes Event."""


logger = logging.getLogger(__name__)

JITTER = 0.1
"""Part of the interval by which each tick is early or late, so that scrapes do not synchronize with anything else."""

NUDGE_AGAIN_SECONDS = 6.0
"""A pod whose settings file is still the old one after this long is nudged again: the kubelet may have synced it just
before it knew of the ConfigMap's change."""

_EVENT_REASONS = {
    Action.APPLY: "SettingsApplied",
    Action.TRY: "TrialStarted",
    Action.CANARY: "CanaryStarted",
    Action.PROMOTE: "CanaryPromoted",
    Action.KEEP: "SettingsKept",
    Action.ROLL_BACK: "SettingsRolledBack",
    Action.RECOMMEND: "SettingsRecommended",
}


class TuningLoop:
    """Tunes all apps.

    Args:
        inventory: the apps and their pods.
        reconciler: carries out the decisions.
        events: where Events are created.
        telemetry: counts scrapes and decisions.
        interval: seconds between two scrapes of a pod.
        timeout: seconds that a pod may take to answer.
        ticked: called after each tick, for the liveness probe.
        url: where a pod's metrics are, by its IP.
    """

    def __init__(
        self,
        inventory: Inventory,
        reconciler: Reconciler,
        events: EventsApi,
        telemetry: Telemetry,
        *,
        interval: float = 5.0,
        timeout: float = 2.0,
        ticked: Callable[[], None] = lambda: None,
        url: Callable[[str], str] = metrics_url,
    ) -> None:
        self._inventory = inventory
        self._reconciler = reconciler
        self._events = events
        self._telemetry = telemetry
        self._interval = interval
        self._timeout = timeout
        self._ticked = ticked
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Tick until cancelled."""
        async with new_session() as session:
            try:
                while True:
                    self.tick(session)
                    self._ticked()
                    await asyncio.sleep(self._interval * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 (jitter)
            finally:
                for task in self._tasks:
                    task.cancel()

    def tick(self, session: aiohttp.ClientSession) -> None:
        """Start one round: a task for each app whose last round has ended."""
        self._telemetry.apps.set(len(self._inventory.apps))
        for record in self._inventory.apps.values():
            if record.tuning is None or record.tuning.done():
                record.tuning = asyncio.create_task(self._guarded(record, session), name=f"tuning {record.key}")
                self._tasks.add(record.tuning)
                record.tuning.add_done_callback(self._tasks.discard)

    async def _guarded(self, record: AppRecord, session: aiohttp.ClientSession) -> None:
        try:
            await self.tune(record, session)
            while (within := self._wanted_within(record)) is not None:
                await asyncio.sleep(within)
                await self.tune(record, session)
        except (RetryLater, Refused, ClusterError) as error:
            logger.warning("%s: %s; the next tick tries again", record.key, error)
        except Exception:
            logger.exception("%s: unexpected error; the next tick tries again", record.key)

    def _wanted_within(self, record: AppRecord) -> float | None:
        """Return in how many seconds the tuner wants to see an app again, if that is before the next tick."""
        if record.tuner_state is None or self._inventory.apps.get(record.key) is not record:
            return None
        within = record.tuner_state.scrape_within
        return within if within is not None and within < self._interval else None

    async def tune(self, record: AppRecord, session: aiohttp.ClientSession) -> None:
        """Scrape one app's pods, ask the tuner, and carry out its decision.

        Raises:
            RetryLater, Refused, ClusterError: when something in the cluster fails; nothing is lost by that.
        """
        requested_cores = read_app(record).requested_cores()
        every = self._inventory.pods(record.key)
        pods = [pod for pod in every if pod.should_serve]
        snapshots = await asyncio.gather(*(self._scrape(session, pod, requested_cores) for pod in pods))
        async with record.lock:
            if self._inventory.apps.get(record.key) is not record:
                return
            record.observations, record.trials = _observations(record, pods, snapshots)
            record.refusing = frozenset(
                pod.name for pod in pods if pod.uid in record.snapshots and record.snapshots[pod.uid].settings_refused
            )
            app = read_app(record)
            desired = read(record.status.settings.desired)
            if desired is None:
                return  # not reconciled yet
            killed = _killed(record, every, desired)
            pods_to_come = max(app.spec.replicas, self._inventory.running_pods(record.key))
            decisions = self._step(record, app, killed, pods_to_come)
            desired = await self._carry_out(record, app, desired, decisions)
            # only now: if the status could not be written, the kill is reported again
            _note_what_runs(record, every, zip(pods, snapshots, strict=True))
            await self._nudge_again(record, pods, desired)

    async def _scrape(self, session: aiohttp.ClientSession, pod: Pod, requested_cores: float | None) -> Snapshot | None:
        self._telemetry.scrapes.inc()
        try:
            return await scrape(
                session,
                self._url(pod.ip),
                timeout=self._timeout,
                at=time.monotonic(),
                requested_cores=requested_cores,
            )
        except ScrapeFailed as error:
            self._telemetry.scrape_failures.labels(error.reason).inc()
            logger.info("%s/%s: %s", pod.namespace, pod.name, error)
            return None

    def _step(self, record: AppRecord, app: WSGIApp, killed: Mapping[str, Settings], pods: int) -> tuple[Decision, ...]:
        try:
            policy = app.tuning_policy()
        except InvalidPolicy as error:
            logger.error("%s: spec.tuning is invalid, so nothing is tuned: %s", record.key, error)  # noqa: TRY400 (the input is wrong)
            return ()
        state = record.state.for_image(app.identity)
        record.tuner_state, decisions = step(
            policy,
            state,
            record.observations,
            time.time(),
            canaries=True,
            killed=killed,
            trials=record.trials,
            pods=pods,
        )
        for decision in decisions:
            self._telemetry.decisions.labels(decision.action.value, decision.reason.value).inc()
        return decisions

    async def _carry_out(
        self, record: AppRecord, app: WSGIApp, desired: Settings, decisions: Sequence[Decision]
    ) -> Settings:
        """Write the decisions to the status, then carry them out; return what every pod should run from now on."""
        now = dt.datetime.now(dt.timezone.utc)
        status, news = record.status, []
        for decision in decisions:
            if is_news(status, decision):
                status = with_history(status, decision, desired, now)
                news.append(decision)
            if decision.changes_settings and decision.settings is not None:
                desired = decision.settings
                status = status.model_copy(update={"settings": noted(app, status, desired)})
        changes = any(each.changes_settings for each in decisions)
        if decisions:
            record.decision = decisions[-1]
        begins_or_ends = False
        if record.tuner_state is not None:
            # A canary does not change every pod, but it too has to be stored before it is begun.
            begins_or_ends = record.tuner_state.canary != stored_state(status).canary
            status = with_state(status, record.tuner_state)
        status = describe(status, self._reconciler.view(record, app, desired), now)
        try:
            await self._reconciler.statuses.write(record, status, at_once=bool(news) or changes or begins_or_ends)
        except (ClusterError, RetryLater):
            record.tuner_state = None  # a decision that could not be written does not count
            raise
        for decision in news:
            logger.info("%s: %s (%s): %s", record.key, decision.action, decision.reason, decision.message)
        # the last step of a climb is confirmed without a change of what is desired
        wanted = settings_file(record.state, desired)
        if changes or record.file not in {None, wanted}:
            await self._reconciler.carry_out(record, app, desired)
        await self._reconciler.follow_canary(record, record.state.canary)
        for decision in (*record.unannounced, *news):
            await self._create_event(record, decision)
        record.unannounced.clear()
        return desired

    async def _create_event(self, record: AppRecord, decision: Decision) -> None:
        kind: Literal["Normal", "Warning"] = "Warning" if decision.action is Action.ROLL_BACK else "Normal"
        message = f"{decision.message} [{decision.reason}]"
        now = dt.datetime.now(dt.timezone.utc)
        event = build_event(record.body, kind, _EVENT_REASONS[decision.action], message, now=now)
        try:
            await self._events.create_event(event)
        except ClusterError as error:
            logger.warning("%s: the Event for %s could not be created: %s", record.key, decision.reason, error)

    async def _nudge_again(self, record: AppRecord, pods: Sequence[Pod], desired: Settings) -> None:
        now = time.monotonic()
        late = [
            pod
            for pod in pods
            if (seen := record.observations.get(pod.name)) is not None
            and seen.settings_desired != desired
            and SETTINGS_ANNOTATION not in pod.annotations
            and now - record.nudged_at.setdefault(pod.uid, now) > NUDGE_AGAIN_SECONDS
        ]
        if late:
            file = record.file or SettingsFile(desired)
            await self._reconciler.nudge(record, late, f"{digest(file.to_mapping())}.{int(now)}")


def _killed(record: AppRecord, pods: Sequence[Pod], desired: Settings) -> dict[str, Settings]:
    """Return which servers the kernel has killed as a whole since the last round, with the settings that they ran.

    It is read from the pods' status, because no process is left in the container to count it. A kill that a pod shows
    when it is first seen is ignored: the tuner may know of it already.
    """
    canary = record.state.canary
    killed: dict[str, Settings] = {}
    for pod in pods:
        if (
            not pod.deleting
            and pod.memory_kill
            and pod.memory_kill != record.memory_kills.get(pod.uid, pod.memory_kill)
        ):
            # a server that was killed before it was scraped ran the settings that it started with
            starts_with = canary.settings if canary is not None and canary.pod == pod.name else desired
            killed[pod.name] = record.ran.get(pod.uid, starts_with)
            logger.info("%s/%s: the kernel killed the container for its memory", pod.namespace, pod.name)
    return killed


def _note_what_runs(record: AppRecord, pods: Sequence[Pod], answers: Iterable[tuple[Pod, Snapshot | None]]) -> None:
    """Remember what each pod runs and its last kill, and forget the pods that no longer exist."""
    ended = {pod.uid for pod in pods if pod.memory_kill != record.memory_kills.get(pod.uid, "")}
    present = {pod.uid for pod in pods}
    record.ran = {uid: settings for uid, settings in record.ran.items() if uid in present - ended}
    for pod, snapshot in answers:
        if snapshot is not None and snapshot.settings_active is not None:
            record.ran[pod.uid] = snapshot.settings_active
    record.memory_kills = {pod.uid: pod.memory_kill for pod in pods}


def _observations(
    record: AppRecord, pods: Sequence[Pod], snapshots: Sequence[Snapshot | None]
) -> tuple[dict[str, Observation | None], dict[str, TrialSeen]]:
    """Return what happened in each pod since its last good scrape, None where that is unknown; and what of trials.

    A pod that is scraped for the first time is left out: it is not missing, there is just no pair of scrapes yet.
    """
    observations: dict[str, Observation | None] = {}
    trials: dict[str, TrialSeen] = {}
    kept: dict[str, Snapshot] = {}
    for pod, snapshot in zip(pods, snapshots, strict=True):
        if snapshot is None:
            observations[pod.name] = None
            if pod.uid in record.snapshots:
                kept[pod.uid] = record.snapshots[pod.uid]
            continue
        earlier = record.snapshots.get(pod.uid)
        kept[pod.uid] = snapshot
        if earlier is None:
            continue
        try:
            observations[pod.name] = observe(earlier, snapshot)
            trial = observe_trial(earlier, snapshot)
            if trial is not None:
                trials[pod.name] = trial
        except CounterReset as reset:
            observations[pod.name] = None
            logger.info("%s/%s: %s", pod.namespace, pod.name, reset)
    record.snapshots = kept
    present = {pod.uid for pod in pods}
    record.nudged_at = {uid: at for uid, at in record.nudged_at.items() if uid in present}
    return observations, trials
