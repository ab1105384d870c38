from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json

import pytest

from stablehand_operator import tuning
from stablehand_operator.cluster import ClusterError
from stablehand_operator.conditions import find
from stablehand_operator.inventory import AppKey, Inventory, digest
from stablehand_operator.names import FREEZE_ANNOTATION, SETTINGS_ANNOTATION
from stablehand_operator.reconcile import Reconciler
from stablehand_operator.scrape import new_session
from stablehand_operator.telemetry import Telemetry
from stablehand_operator.tuning import TuningLoop
from stablehand_tuner.contracts import trial as contract
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.climb import Climb
from stablehand_tuner.lifecycle.phases import CanaryRunning, Change, Climbing, Trial
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.reasons import Reason

KEY = AppKey("default", "shop")
SYNC = Settings(WorkerClass.SYNC, 1)
THREADS = Settings(WorkerClass.GTHREAD, 2, 48)
HOLD = Decision(Action.HOLD, Reason.WELL_TUNED, "fits")
APPLY = Decision(Action.APPLY, Reason.WAITING_DOMINATES, "98 % of a request is waiting", THREADS)


class Script:
    """A tuner that decides what the test says, and notes what it was shown."""

    def __init__(self, baseline) -> None:
        self.baseline = baseline
        self.decisions = [HOLD]
        self.shown: list[dict] = []
        self.states: list[TunerState] = []
        self.count = itertools.count(1)
        self.canary: Canary | None = None
        self.policies: list = []
        self.killed: list[dict] = []
        self.trials: list[dict] = []
        self.pods: list[int] = []
        self.phase = None

    def __call__(self, policy, state, observations, now, *, canaries, killed, trials, pods):
        """Take one step."""
        assert canaries, "a cluster can give one pod settings of its own"
        del now
        self.policies.append(policy)
        self.killed.append(dict(killed))
        self.trials.append(dict(trials))
        self.pods.append(pods)
        self.shown.append(dict(observations))
        self.states.append(state)
        new = TunerState(image=state.image, note=f"step {next(self.count)}")
        if self.canary is not None:
            change = Change(SYNC, self.canary.settings, dataclasses.replace(APPLY, settings=self.canary.settings))
            phase = CanaryRunning(0.0, change, self.canary.pod, self.baseline, Comparison())
            new = dataclasses.replace(new, phase=phase)
        if self.phase is not None:
            new = dataclasses.replace(new, phase=self.phase)
        return new, tuple(self.decisions)


class Stable:
    """The tuning loop around a cluster in memory and a pod on loopback."""

    def __init__(self, cluster, pod, body, make_pod) -> None:
        self.cluster, self.pod = cluster, pod
        self.inventory = Inventory()
        self.record = self.inventory.take_app(body)
        self.inventory.take_pod(cluster.put(make_pod()))
        telemetry = Telemetry()
        self.reconciler = Reconciler(cluster, self.inventory, telemetry)
        self.loop = TuningLoop(
            self.inventory, self.reconciler, cluster, telemetry, interval=0.01, timeout=1, url=lambda _: pod.url
        )

    async def tick(self):
        """Run one round of the app."""
        async with new_session() as session:
            await self.loop.tune(self.record, session)

    def settings_in_config_map(self):
        """Return what the pods read."""
        return self.cluster.objects["ConfigMap", "default", "shop-settings"]["data"]["settings.json"]


@pytest.fixture
def script(monkeypatch, make_observation):
    script = Script(make_observation(SYNC))
    monkeypatch.setattr(tuning, "step", script)
    return script


@pytest.fixture
async def stable(cluster, start_pod, make_object, make_pod, make_exposition):
    pod = await start_pod()
    pod.text = make_exposition(SYNC, requests=0)
    body = cluster.put(make_object(settings={"workerClass": "sync", "workers": 1}))
    stable = Stable(cluster, pod, body, make_pod)
    await stable.reconciler.reconcile(KEY)
    cluster.calls.clear()
    return stable


async def test_an_app_that_climbs_is_seen_again_before_the_next_tick(stable, script, monkeypatch):
    """Until the tuner does not want it any more, or the app is gone."""
    wanted = iter([0.001, 0.001, 0.001, None])
    monkeypatch.setattr(TunerState, "scrape_within", property(lambda _state: next(wanted)))
    async with new_session() as session:
        stable.loop.tick(session)
        await asyncio.wait_for(stable.record.tuning, 10)

    assert len(script.shown) == 4


async def test_two_scrapes_make_an_observation(stable, script, make_exposition):
    await stable.tick()
    stable.pod.text = make_exposition(SYNC, requests=50)
    await stable.tick()

    first, second = script.shown
    assert first == {}, "a pod seen for the first time is not missing"
    assert second["shop-1"].requests == 50
    assert stable.record.status.summary.active == "sync 1"


async def test_pods_that_boot_or_end_or_are_still_to_come_share_what_has_a_ceiling(stable, script, make_pod):
    await stable.tick()
    for number in (2, 3):
        stable.inventory.take_pod(stable.cluster.put(make_pod(f"shop-{number}", ready=False)))
    await stable.tick()
    evicted = make_pod("shop-4", ready=False)
    evicted["status"]["phase"] = "Failed"
    stable.inventory.take_pod(stable.cluster.put(evicted))
    await stable.tick()
    stable.record.body["spec"]["replicas"] = 5
    await stable.tick()

    assert script.pods == [1, 3, 3, 5]


async def test_a_step_that_the_pods_guard_is_a_trial_in_the_config_map_until_it_is_confirmed(
    stable, script, make_observation
):
    before, step = dataclasses.replace(THREADS, threads=4), dataclasses.replace(THREADS, threads=8)
    trial = contract.Trial(
        id=1,
        on=contract.TrialOn.ALL,
        worker_class=step.worker_class,
        workers=step.workers,
        threads=step.threads,
        worker_connections=step.worker_connections,
        seconds=60.0,
        guard=contract.Guard(0.02, 0.5, 3.0),
    )
    decision, seen = dataclasses.replace(APPLY, settings=step), make_observation(before)
    climb = Climb.begin(APPLY, before, seen)
    script.phase = Climbing(0.0, Change(before, step, decision), seen, climb, ran=before, trial=trial)
    script.decisions = [decision]
    await stable.tick()
    file = SettingsFile.from_json(stable.settings_in_config_map())
    await stable.reconciler.reconcile(KEY)

    assert (file.settings, file.trial) == (before, trial)
    assert stable.record.status.settings.desired.threads == 8
    assert SettingsFile.from_json(stable.settings_in_config_map()) == file, "reconciling does not confirm it"

    script.phase, script.decisions = Trial(0.0, Change(before, step, decision), seen), [HOLD]
    await stable.tick()
    assert SettingsFile.from_json(stable.settings_in_config_map()) == SettingsFile(step)


async def test_a_pod_that_does_not_answer_is_missing_and_not_idle(stable, script, make_exposition):
    await stable.tick()
    stable.pod.text = "nonsense{"
    await stable.tick()
    stable.pod.text = make_exposition(SYNC, requests=9)
    await stable.tick()

    assert script.shown[1] == {"shop-1": None}
    assert script.shown[2]["shop-1"].requests == 9


async def test_a_server_that_restarted_is_missing_once(stable, script, make_exposition):
    for requests in (100, 3, 8):
        stable.pod.text = make_exposition(SYNC, requests=requests)
        await stable.tick()

    assert script.shown[1] == {"shop-1": None}
    assert script.shown[2]["shop-1"].requests == 5


async def test_a_decision_is_written_down_before_it_is_carried_out(stable, script):
    script.decisions = [APPLY]

    await stable.tick()

    calls = [call[0] for call in stable.cluster.calls]
    assert calls == ["write_status", "apply", "annotate_pod", "create_event"]
    assert '"workers": 2, "threads": 48' in stable.settings_in_config_map()
    status = stable.cluster.objects["WSGIApp", "default", "shop"]["status"]
    assert status["settings"]["desired"]["threads"] == 48
    assert json.loads(status["tuner"])["note"] == "step 1"
    assert (status["history"][0]["from"], status["history"][0]["to"]) == ("sync 1", "gthread 2 × 48")


async def test_what_could_not_be_written_down_is_not_done(stable, script):
    script.decisions = [APPLY]
    stable.cluster.failures["write_status"] = [ClusterError("no answer")]

    with pytest.raises(ClusterError):
        await stable.tick()

    assert '"workerClass": "sync"' in stable.settings_in_config_map()
    assert stable.cluster.events == []
    await stable.tick()
    assert '"threads": 48' in stable.settings_in_config_map()
    assert len(stable.record.status.history) == 1


async def test_a_change_decided_again_is_applied_and_reported_once(stable, script):
    script.decisions = [APPLY]

    await stable.tick()
    await stable.tick()
    await stable.tick()

    assert len(stable.cluster.events) == 1
    assert len(stable.record.status.history) == 1
    assert [call for call in stable.cluster.calls if call[0] == "apply"] == [("apply", "ConfigMap", "shop-settings")]


async def test_an_application_that_failed_half_way_is_finished_by_the_next_tick(stable, script):
    script.decisions = [APPLY]
    stable.cluster.failures["apply"] = [ClusterError("no answer")]

    with pytest.raises(ClusterError):
        await stable.tick()
    await stable.tick()

    assert '"threads": 48' in stable.settings_in_config_map()
    assert len(stable.record.status.history) == 1


async def test_a_successor_goes_on_with_the_state_that_stands_in_the_status(stable, script, make_pod):
    script.decisions = [APPLY]
    await stable.tick()

    body = stable.cluster.objects["WSGIApp", "default", "shop"]
    successor = Stable(stable.cluster, stable.pod, body, make_pod)
    await successor.reconciler.reconcile(KEY)
    await successor.tick()

    assert script.states[-1].note == "step 1"
    assert '"threads": 48' in successor.settings_in_config_map()
    assert len(stable.cluster.events) == 1


@pytest.mark.parametrize("damaged", ["{", "[]", "null", '{"version": 99}'])
async def test_with_a_corrupt_state_the_tuner_starts_over_and_the_settings_stay(stable, script, damaged):
    status = stable.record.status.model_copy(update={"tuner": damaged})
    await stable.reconciler.statuses.write(stable.record, status, at_once=True)

    await stable.tick()

    assert script.states[0].desired is None
    assert '"workerClass": "sync"' in stable.settings_in_config_map()


async def test_an_event_reports_the_decision_with_its_code(stable, script):
    script.decisions = [APPLY]

    await stable.tick()

    event = stable.cluster.events[0]
    assert (event["type"], event["reason"]) == ("Normal", "SettingsApplied")
    assert event["message"] == "98 % of a request is waiting [WaitingDominates]"
    assert event["involvedObject"]["uid"] == stable.record.body["metadata"]["uid"]


async def test_numbers_alone_are_not_written_at_every_tick(stable, script, make_exposition):
    await stable.tick()
    stable.cluster.calls.clear()
    for requests in (10, 30, 60, 100):
        stable.pod.text = make_exposition(SYNC, requests=requests)
        await stable.tick()

    assert [call[0] for call in stable.cluster.calls].count("write_status") <= 2
    assert len(script.shown) == 5


async def test_a_pod_whose_file_stays_old_is_nudged_again(stable, script, monkeypatch, make_exposition):
    monkeypatch.setattr(tuning, "NUDGE_AGAIN_SECONDS", 0.0)
    script.decisions = [APPLY]
    for requests in (0, 5, 10):
        stable.pod.text = make_exposition(SYNC, requests=requests)
        await stable.tick()

    nudge = stable.cluster.objects["Pod", "default", "shop-1"]["metadata"]["annotations"]["stablehand.dev/nudge"]
    assert nudge.startswith(digest(THREADS.to_mapping()) + ".")


async def test_a_slow_app_does_not_hold_up_the_others(  # noqa: PLR0917 (fixtures)
    stable, script, make_object, make_pod, start_pod, make_exposition
):
    stuck = await start_pod()

    async def never(_):
        await asyncio.Event().wait()

    stuck.respond = never
    other = make_object("other")
    other["metadata"]["uid"] = "another"
    stable.inventory.take_app(stable.cluster.put(other))
    pod = make_pod("other-1", ip="127.0.0.2")
    pod["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    stable.inventory.take_pod(pod)
    await stable.reconciler.reconcile(AppKey("default", "other"))
    stable.pod.text = make_exposition(SYNC, requests=5)
    stable.loop._url = lambda ip: stuck.url if ip == "127.0.0.2" else stable.pod.url

    running = asyncio.create_task(stable.loop.run())
    try:
        deadline = asyncio.get_running_loop().time() + 5
        while len(script.shown) < 5:
            assert asyncio.get_running_loop().time() < deadline, "the fast app was held up"
            await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert all("other-1" not in shown for shown in script.shown[:5])


async def test_an_app_that_is_deleted_while_it_is_scraped_is_left_alone(stable, script):
    async def drop(_):
        stable.inventory.drop_app(KEY)
        return tuning_response()

    from aiohttp import web  # noqa: PLC0415 (only here)

    def tuning_response():
        return web.Response(text=stable.pod.text, content_type="text/plain")

    stable.pod.respond = drop
    script.decisions = [APPLY]

    await stable.tick()

    assert stable.cluster.calls == []


async def test_a_canary_stands_in_the_status_before_its_pod_hears_of_it(stable, script):
    script.canary = Canary("shop-1", THREADS)
    script.decisions = [Decision(Action.CANARY, Reason.BACKLOG, "try it", THREADS, pod="shop-1")]

    await stable.tick()

    assert stable.cluster.calls[:2] == [("write_status", "shop"), ("annotate_pod", "shop-1")]
    pod = stable.cluster.objects["Pod", "default", "shop-1"]
    assert Settings.from_json(pod["metadata"]["annotations"][SETTINGS_ANNOTATION]) == THREADS
    assert stable.record.status.canary.pod == "shop-1"
    assert Settings.from_json(stable.settings_in_config_map()) == SYNC, "all others stay as they are"
    assert [each["reason"] for each in stable.cluster.events] == ["CanaryStarted"]


async def test_settings_of_a_canary_that_the_state_does_not_name_are_removed(stable, script):
    pod = stable.cluster.objects["Pod", "default", "shop-1"]
    pod["metadata"].setdefault("annotations", {})[SETTINGS_ANNOTATION] = THREADS.to_json()
    stable.inventory.take_pod(stable.cluster.put(pod))

    await stable.tick()

    assert SETTINGS_ANNOTATION not in stable.cluster.objects["Pod", "default", "shop-1"]["metadata"]["annotations"]


async def test_a_canary_that_could_not_be_written_down_is_not_begun(stable, script):
    script.canary = Canary("shop-1", THREADS)
    stable.cluster.failures["write_status"] = [ClusterError("no answer", 503)]

    with pytest.raises(ClusterError):
        await stable.tick()

    assert ("annotate_pod", "shop-1") not in stable.cluster.calls


@pytest.mark.parametrize(("value", "frozen"), [("true", True), ("until Monday", True), ("false", False)])
async def test_the_annotation_freezes_the_tuner(stable, script, value, frozen):
    stable.record.body["metadata"].setdefault("annotations", {})[FREEZE_ANNOTATION] = value

    await stable.tick()

    assert script.policies[-1].frozen is frozen


async def test_the_first_scrape_shows_whether_a_pod_refuses_its_settings(stable, script, make_exposition):
    stable.pod.text = make_exposition(SYNC) + "\nstablehand_settings_refused 1\n"

    await stable.tick()

    verdict = find(stable.record.status.conditions, "SettingsAccepted")
    assert (verdict.status, verdict.reason) == ("False", "ServerRefused")


async def test_without_a_limit_a_pod_counts_on_the_cores_that_it_requested(stable, script, make_exposition):
    body = stable.cluster.objects["WSGIApp", "default", "shop"]
    body["spec"]["resources"] = {"requests": {"cpu": "1500m"}}
    stable.inventory.take_app(stable.cluster.put(body))
    for requests in (0, 50):
        stable.pod.text = make_exposition(SYNC, requests=requests)
        await stable.tick()

    assert script.shown[-1]["shop-1"].cores == 1.5


def killed_container(number, *, exit_code=137, where="lastState"):
    end = {"reason": "OOMKilled", "exitCode": exit_code, "containerID": f"containerd://{number}"}
    return {"containerStatuses": [{"name": "app", "ready": False, where: {"terminated": end}}]}


async def test_a_server_that_was_killed_for_its_memory_is_reported_once_with_the_settings_that_it_ran(
    stable, script, make_pod, make_exposition
):
    stable.pod.text = make_exposition(THREADS, requests=5)
    await stable.tick()
    killed = make_pod(ready=False, **killed_container(1, where="state"))
    stable.inventory.take_pod(stable.cluster.put(killed))
    await stable.tick()
    again = make_pod(ready=True, **killed_container(1))
    stable.inventory.take_pod(stable.cluster.put(again))
    await stable.tick()
    await stable.tick()

    assert script.killed == [{}, {"shop-1": THREADS}, {}, {}]


async def test_a_server_that_is_killed_before_it_can_be_asked_ran_what_it_starts_with(stable, script, make_pod):
    await stable.tick()
    script.decisions = [APPLY]
    await stable.tick()
    script.decisions = [HOLD]
    for number in (1, 2):
        stable.inventory.take_pod(stable.cluster.put(make_pod(ready=False, **killed_container(number))))
        await stable.tick()

    assert script.killed[-2:] == [{"shop-1": SYNC}, {"shop-1": THREADS}], "it ran the former, and started with the new"


async def test_a_kill_is_reported_again_if_the_status_could_not_be_written(stable, script, make_pod):
    await stable.tick()
    stable.inventory.take_pod(stable.cluster.put(make_pod(ready=False, **killed_container(1))))
    script.decisions = [APPLY]
    stable.cluster.failures["write_status"] = [ClusterError("no", 500)]
    with pytest.raises(ClusterError):
        await stable.tick()
    await stable.tick()

    assert script.killed[-2:] == [{"shop-1": SYNC}, {"shop-1": SYNC}]


@pytest.mark.parametrize("how", [{"exit_code": 0}, {"exit_code": 1}])
async def test_a_container_that_ended_by_itself_after_another_process_was_killed_was_not_killed(
    stable, script, make_pod, how
):
    await stable.tick()
    stable.inventory.take_pod(stable.cluster.put(make_pod(ready=False, **killed_container(1, **how))))
    await stable.tick()

    assert script.killed[-1] == {}


async def test_a_kill_from_before_the_operator_began_to_watch_is_not_held_against_anything(stable, script, make_pod):
    stable.inventory.take_pod(stable.cluster.put(make_pod(**killed_container(1))))
    await stable.tick()
    await stable.tick()

    assert script.killed == [{}, {}]


async def test_a_change_that_gets_its_container_killed_again_and_again_is_taken_back(stable, make_pod, make_exposition):
    await stable.tick()
    stable.pod.text = make_exposition(SYNC, requests=50)
    await stable.tick()
    observation = stable.record.observations["shop-1"]
    image = stable.record.tuner_state.image
    stable.record.tuner_state = TunerState(Trial(0.0, Change(SYNC, THREADS, APPLY), observation), image=image)
    stable.record.ran.clear()
    stable.inventory.take_pod(stable.cluster.put(make_pod(ready=False, **killed_container(1))))
    stable.record.ran[make_pod()["metadata"]["uid"]] = THREADS
    await stable.tick()

    assert stable.record.decision.action is Action.ROLL_BACK
    assert stable.record.decision.reason is Reason.TRIAL_MEMORY
    assert '"workerClass": "sync"' in stable.settings_in_config_map()
