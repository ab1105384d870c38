from __future__ import annotations

import datetime as dt

import pytest

from stablehand_operator.conditions import REFUSAL_SHOWN_SECONDS, find
from stablehand_operator.pods import Pod
from stablehand_operator.resource_status import WSGIAppStatus
from stablehand_operator.status import AppView, describe, is_news, is_urgent, with_history
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.trial import Guard, Trial
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.reasons import Reason

NOW = dt.datetime(2026, 11, 24, 10, 0, tzinfo=dt.timezone.utc)
SYNC = Settings(WorkerClass.SYNC, 1)
THREADS = Settings(WorkerClass.GTHREAD, 2, 8)


@pytest.fixture
def seen(make_app, make_observation):
    """Return a maker of sights: an app with one ready pod, unless the arguments differ."""

    def make(
        *running,
        desired=SYNC,
        deployment=None,
        pods=(),
        decision=None,
        problem=None,
        spec=None,
        canary=None,
        refusing=(),
        **lines,
    ):
        return AppView(
            app=make_app(**(spec or {})),
            desired=desired,
            deployment=DEPLOYED if deployment is None else deployment,
            pods=pods,
            observations={f"pod-{index}": make_observation(each, **lines) for index, each in enumerate(running)},
            refusing=refusing,
            decision=decision,
            recommended=None,
            canary=canary,
            problem=problem,
        )

    return make


DEPLOYED = {
    "metadata": {"generation": 2},
    "status": {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1},
}


def condition(status, kind):
    found = find(status.conditions, kind)
    return found.status, found.reason


def told(view, previous=None, now=NOW):
    return describe(previous or WSGIAppStatus(), view, now)


def test_an_app_whose_pods_are_ready_and_run_what_they_should_has_all_conditions_true(seen):
    decision = Decision(Action.HOLD, Reason.WELL_TUNED, "fits")

    status = told(seen(SYNC, decision=decision))

    assert condition(status, "Ready") == ("True", "PodsReady")
    assert condition(status, "SettingsAccepted") == ("True", "Active")
    assert condition(status, "Tuning") == ("True", "WellTuned")
    assert (status.reason, status.message) == ("WellTuned", "fits")
    summary = status.summary
    assert (summary.worker_class, summary.workers, summary.threads, summary.ready) == ("sync", "1", "1", "1/1")
    assert status.observed.requests_per_second == 10


def test_before_any_pod_could_be_asked_the_columns_show_what_pods_start_with(seen):
    summary = told(seen(desired=THREADS)).summary

    assert (summary.worker_class, summary.workers, summary.threads) == ("gthread", "2", "8")


def test_while_the_pods_change_the_columns_show_from_what_to_what(seen):
    summary = told(seen(SYNC, THREADS, desired=THREADS)).summary

    assert (summary.worker_class, summary.workers, summary.threads) == ("sync→gthread", "1→2", "1→8")
    assert summary.active == "sync 1→gthread 2 × 8"


def test_pods_that_do_not_run_the_settings_yet_are_no_refusal(seen):
    status = told(seen(SYNC, desired=THREADS))

    assert condition(status, "SettingsAccepted") == ("Unknown", "Applying")


@pytest.mark.parametrize("outcome", ["rejected", "rolled_back"])
def test_a_server_that_refuses_its_settings_is_reported(seen, outcome):
    status = told(seen(SYNC, desired=THREADS, **{outcome: 1}))

    assert condition(status, "SettingsAccepted") == ("False", "ServerRefused")
    assert "pod-0" in find(status.conditions, "SettingsAccepted").message


def test_a_refusal_from_before_the_first_scrape_is_reported(seen):
    status = told(seen(refusing=["pod-0"]))

    assert condition(status, "SettingsAccepted") == ("False", "ServerRefused")
    assert "pod-0" in find(status.conditions, "SettingsAccepted").message


def test_a_refusal_stays_visible_for_a_while_after_the_old_settings_are_back(seen):
    refused = told(seen(SYNC, desired=THREADS, rejected=1))
    soon = told(seen(SYNC), refused, NOW + dt.timedelta(seconds=60))
    late = told(seen(SYNC), soon, NOW + dt.timedelta(seconds=REFUSAL_SHOWN_SECONDS + 1))

    assert condition(soon, "SettingsAccepted") == ("False", "ServerRefused")
    assert condition(late, "SettingsAccepted") == ("True", "Active")


def test_a_rollback_because_servers_refused_is_reported(seen):
    decision = Decision(Action.ROLL_BACK, Reason.SERVER_REFUSED, "a server refused gevent", SYNC)

    assert condition(told(seen(SYNC, decision=decision)), "SettingsAccepted") == ("False", "ServerRefused")


def test_what_keeps_pods_from_serving_comes_before_the_tuner_s_reason(seen, make_pod):
    ended = {"exitCode": 3, "message": "ImportError: no module"}
    crashed = Pod.from_object(
        make_pod(ready=False, containerStatuses=[{"name": "app", "ready": False, "state": {"terminated": ended}}])
    )
    starting = {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "replicas": 1}}

    status = told(seen(deployment=starting, pods=[crashed]))

    assert condition(status, "Ready") == ("False", "AppFailed")
    assert (status.reason, status.message) == ("AppFailed", "ImportError: no module")


def test_old_pods_that_serve_do_not_hide_that_the_new_ones_fail(seen):
    rolling = {
        "metadata": {"generation": 3},
        "status": {"observedGeneration": 3, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 1},
    }

    assert condition(told(seen(SYNC, deployment=rolling)), "Ready") == ("False", "PodsStarting")


def test_a_deployment_whose_controller_has_not_seen_the_change_is_not_ready(seen):
    stale = {**DEPLOYED, "metadata": {"generation": 3}}

    assert condition(told(seen(SYNC, deployment=stale)), "Ready") == ("False", "PodsStarting")


def test_pods_that_a_quota_refuses_are_reported(seen):
    refused = {
        "metadata": {"generation": 1},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}],
        },
    }

    status = told(seen(deployment=refused))

    assert (status.reason, status.message) == ("PodsRefused", "exceeded quota")


def test_an_app_scaled_to_zero_is_ready(seen):
    nothing = {"metadata": {"generation": 1}, "status": {"observedGeneration": 1}}

    assert condition(told(seen(deployment=nothing, spec={"replicas": 0})), "Ready") == ("True", "ScaledToZero")


def test_mode_off_is_reported(seen):
    assert condition(told(seen(SYNC, spec={"tuning": {"mode": "Off"}})), "Tuning") == ("False", "ModeOff")


def test_pods_that_serve_and_are_not_compared_yet_are_not_called_no_pods(seen, make_pod):
    nothing_yet = Decision(Action.HOLD, Reason.NO_PODS, "the app has no pods to observe")

    status = told(seen(pods=[Pod.from_object(make_pod())], decision=nothing_yet))

    assert condition(status, "Tuning") == ("True", "Starting")


def test_a_condition_s_time_moves_with_its_status_only(seen):
    first = told(seen(SYNC))
    later = told(seen(SYNC), first, NOW + dt.timedelta(hours=1))

    assert find(later.conditions, "Ready").last_transition_time == "2026-11-24T10:00:00Z"


def test_a_moment_without_any_measurement_forgets_nothing(seen):
    before = told(seen(SYNC))

    after = told(seen(), before)

    assert after.settings.active == before.settings.active
    assert after.summary.worker_class == "sync"


def test_the_same_sight_gives_the_same_status(seen):
    first = told(seen(SYNC))

    assert told(seen(SYNC), first, NOW + dt.timedelta(seconds=5)) == first


def test_numbers_can_wait_and_states_cannot(seen):
    status = told(seen(SYNC))
    numbers = status.model_copy(update={"observed": None, "message": "12 requests", "tuner": "{}"})
    ready = told(seen(SYNC, deployment={"metadata": {}, "status": {}}), status)

    assert not is_urgent(status, numbers)
    assert is_urgent(status, ready)


def test_the_history_keeps_the_last_ten_the_newest_first(seen):
    status = told(seen(SYNC))
    for threads in range(2, 14):
        settings = Settings(WorkerClass.GTHREAD, 1, threads)
        decision = Decision(Action.APPLY, Reason.WAITING_DOMINATES, f"{threads}", settings)
        status = with_history(status, decision, SYNC, NOW)

    assert [entry.message for entry in status.history] == [str(each) for each in range(13, 3, -1)]
    assert status.to_json()["history"][0]["from"] == "sync 1"


def test_a_change_that_is_decided_again_until_all_run_it_is_news_once(seen):
    decision = Decision(Action.APPLY, Reason.WAITING_DOMINATES, "more", THREADS)

    assert is_news(told(seen(SYNC, desired=SYNC)), decision)
    assert not is_news(told(seen(SYNC, desired=THREADS)), decision)


def test_a_step_of_a_climb_that_does_no_harm_is_no_news_and_a_step_back_is(seen):
    before = told(seen(SYNC, desired=SYNC))

    assert not is_news(before, Decision(Action.APPLY, Reason.NEXT_STEP, "as many again", THREADS))
    assert is_news(before, Decision(Action.APPLY, Reason.STEP_BACK, "requests fail", THREADS))


def test_a_recommendation_that_stands_is_news_once(seen):
    decision = Decision(Action.RECOMMEND, Reason.WAITING_DOMINATES, "more", THREADS)
    status = told(seen(SYNC))

    assert is_news(status, decision)
    assert not is_news(with_history(status, decision, SYNC, NOW), decision)
    assert not is_news(status, Decision(Action.HOLD, Reason.WELL_TUNED, "fits"))


def test_a_canary_is_distinguished_from_what_the_app_runs(seen):
    canary = Canary("pod-1", THREADS)

    status = told(seen(SYNC, THREADS, SYNC, canary=canary))

    assert (status.summary.worker_class, status.summary.active) == ("sync", "sync 1")
    assert status.settings.active.worker_class == "sync"
    assert (status.canary.pod, status.canary.settings.worker_class) == ("pod-1", "gthread")
    assert condition(status, "SettingsAccepted") == ("True", "Active")
    assert "pod-1" in find(status.conditions, "SettingsAccepted").message


def test_what_one_worker_tries_is_distinguished_from_what_its_pod_runs(seen):
    trial = Trial(7, WorkerClass.GTHREAD, 8, 1000, 44.0, Guard(0.02, 0.5, 3.0))
    status = told(seen(SYNC, SYNC, SYNC, canary=Canary("pod-1", SYNC, trial)))

    assert (status.canary.pod, status.canary.one_worker, status.canary.settings.threads) == ("pod-1", True, 8)
    assert status.observed.pods == 3
    assert "one worker of pod pod-1 tries" in find(status.conditions, "SettingsAccepted").message


def test_a_canary_that_does_not_run_its_settings_yet_is_waited_for(seen):
    status = told(seen(SYNC, SYNC, canary=Canary("pod-1", THREADS)))

    assert condition(status, "SettingsAccepted") == ("Unknown", "Applying")


def test_the_beginning_and_the_end_of_a_canary_are_news_once(seen):
    before = told(seen(SYNC, SYNC))
    begun = Decision(Action.CANARY, Reason.BACKLOG, "try it", THREADS, pod="pod-1")
    ended = Decision(Action.ROLL_BACK, Reason.TRIAL_ERRORS, "it harms", SYNC, pod="pod-1")

    assert is_news(before, begun)
    during = with_history(before, begun, SYNC, NOW)
    assert not is_news(during, begun)
    assert is_news(during, ended)
    after = with_history(during, ended, SYNC, NOW)
    assert not is_news(after, ended)
    assert is_news(after, begun)
