from __future__ import annotations

import pytest

from stablehand_operator.cluster import ClusterError
from stablehand_operator.desired import with_state, written
from stablehand_operator.inventory import AppKey, ChildKey, Inventory
from stablehand_operator.reconcile import Reconciler, read_app
from stablehand_operator.telemetry import Telemetry
from stablehand_operator.workqueue import RetryLater
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.model.ceilings import Ceilings
from stablehand_tuner.model.known import Known
from stablehand_tuner.reasons import Reason

KEY = AppKey("default", "shop")
CHILDREN = {("ServiceAccount", "shop"), ("ConfigMap", "shop-settings"), ("Service", "shop"), ("Deployment", "shop")}
SETTINGS_BEFORE_PODS = (("ConfigMap", "shop-settings"), ("Deployment", "shop"))
SYNC = {"workerClass": "sync", "workers": 1}
TUNED = {"workerClass": "gthread", "workers": 2, "threads": 48, "workerConnections": 1000}


class House:
    """An operator's parts around a cluster in memory."""

    def __init__(self, cluster, body) -> None:
        self.cluster = cluster
        self.inventory = Inventory()
        self.record = self.inventory.take_app(cluster.put(body))
        self.reconciler = Reconciler(cluster, self.inventory, Telemetry())

    async def reconcile(self):
        """Reconcile, and return the calls to the API server."""
        self.cluster.calls.clear()
        await self.reconciler.reconcile(KEY)
        return self.cluster.calls

    def change_spec(self, **changes):
        """Change the spec as a person would."""
        body = self.cluster.objects["WSGIApp", "default", "shop"]
        body["spec"] |= changes
        body["metadata"]["generation"] += 1
        self.inventory.take_app(self.cluster.put(body))

    def settings_in_config_map(self):
        """Return what the pods read."""
        return self.cluster.objects["ConfigMap", "default", "shop-settings"]["data"]["settings.json"]


def applied(calls):
    return {call[1:] for call in calls if call[0] == "apply"}


@pytest.fixture
def house(cluster, make_object):
    return House(cluster, make_object(settings=SYNC))


async def test_a_new_app_gets_all_its_children(house):
    calls = await house.reconcile()

    assert applied(calls) == CHILDREN
    assert '"workerClass": "sync", "workers": 1' in house.settings_in_config_map()


async def test_what_is_desired_is_written_down_before_anything_is_applied(house):
    calls = [call[0] for call in await house.reconcile()]

    assert calls.index("write_status") < calls.index("apply")


async def test_reconciling_again_touches_nothing(house):
    await house.reconcile()

    assert await house.reconcile() == []


async def test_before_more_pods_come_each_gets_less_of_what_all_of_them_share(house, make_pod):
    await house.reconcile()
    house.inventory.take_pod(house.cluster.put(make_pod()))
    ceilings = Ceilings().with_found(Level.APP, Reason.TRIAL_ERRORS, good=16, bad=32, cost=None, now=0.0)
    running = Settings.from_mapping({**TUNED, "threads": 8})
    image = read_app(house.record).identity
    state = TunerState(Watching(running), Known(ceilings=ceilings), image=image)
    status = house.record.status
    settings = status.settings.model_copy(update={"desired": written(running)})
    house.record.status = with_state(status.model_copy(update={"settings": settings}), state)
    await house.reconcile()
    house.change_spec(replicas=4)
    calls = await house.reconcile()

    written_at = calls.index(next(call for call in calls if call[0] == "write_status"))
    config_map, deployment = (calls.index(("apply", kind, name)) for kind, name in SETTINGS_BEFORE_PODS)
    assert written_at < config_map < deployment
    assert '"workers": 2, "threads": 2' in house.settings_in_config_map()
    assert (house.record.status.history[0].reason, house.record.status.settings.desired.threads) == ("SharedCeiling", 2)
    assert [call for call in await house.reconcile() if call[0] == "apply"] == []


async def test_an_edit_of_a_child_is_repaired(house):
    await house.reconcile()
    edited = house.cluster.objects["Deployment", "default", "shop"]
    edited["spec"]["replicas"] = 7
    house.inventory.take_child(house.cluster.put(edited))

    assert applied(await house.reconcile()) == {("Deployment", "shop")}
    assert house.cluster.objects["Deployment", "default", "shop"]["spec"]["replicas"] == 1


async def test_a_child_s_own_status_is_no_drift(house):
    await house.reconcile()
    living = house.cluster.objects["Deployment", "default", "shop"]
    living["status"] = {"replicas": 1}
    living["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    house.inventory.take_child(house.cluster.put(living))

    assert applied(await house.reconcile()) == set()


async def test_a_deleted_child_comes_back(house):
    await house.reconcile()
    del house.cluster.objects["Service", "default", "shop"]
    house.inventory.drop_child(ChildKey("Service", "default", "shop"))

    assert applied(await house.reconcile()) == {("Service", "shop")}


async def test_the_tuner_s_settings_survive_any_reconciliation(house):
    await house.reconcile()
    body = house.cluster.objects["WSGIApp", "default", "shop"]
    body["status"]["settings"]["desired"] = TUNED
    house.inventory.take_app(house.cluster.put(body))

    await house.reconcile()

    assert '"workers": 2, "threads": 48' in house.settings_in_config_map()


async def test_an_operator_that_restarts_keeps_the_tuner_s_settings(house, cluster):
    await house.reconcile()
    body = cluster.objects["WSGIApp", "default", "shop"]
    body["status"] |= {"tuner": '{"version":1}'}
    body["status"]["settings"]["desired"] = TUNED

    successor = House(cluster, body)
    await successor.reconcile()

    assert '"workers": 2, "threads": 48' in successor.settings_in_config_map()
    assert successor.record.status.tuner == '{"version":1}'


async def test_an_operator_that_died_between_writing_and_acting_is_finished_by_its_successor(house, cluster, make_pod):
    await house.reconcile()
    body = cluster.objects["WSGIApp", "default", "shop"]
    body["status"]["settings"]["desired"] = TUNED

    successor = House(cluster, body)
    successor.inventory.take_pod(cluster.put(make_pod()))
    calls = await successor.reconcile()

    assert '"workers": 2, "threads": 48' in successor.settings_in_config_map()
    assert ("annotate_pod", "shop-1") in calls


async def test_a_change_of_the_spec_s_settings_is_obeyed_and_the_tuner_starts_over(house):
    await house.reconcile()
    body = house.cluster.objects["WSGIApp", "default", "shop"]
    body["status"] |= {"tuner": '{"version":1}'}
    body["status"]["settings"]["desired"] = TUNED
    house.inventory.take_app(house.cluster.put(body))

    house.change_spec(settings={"workerClass": "gthread", "workers": 1, "threads": 3})
    await house.reconcile()

    assert '"workers": 1, "threads": 3' in house.settings_in_config_map()
    assert house.record.status.tuner is None


async def test_switching_the_tuner_off_brings_the_spec_s_settings_back(house):
    await house.reconcile()
    body = house.cluster.objects["WSGIApp", "default", "shop"]
    body["status"]["settings"]["desired"] = TUNED
    house.inventory.take_app(house.cluster.put(body))

    house.change_spec(tuning={"mode": "Off"})
    await house.reconcile()

    assert '"workerClass": "sync"' in house.settings_in_config_map()


async def test_pods_are_nudged_once_for_each_change_of_settings(house, make_pod):
    house.inventory.take_pod(house.cluster.put(make_pod("shop-1")))
    house.inventory.take_pod(house.cluster.put(make_pod("shop-2")))
    assert {call[1] for call in await house.reconcile() if call[0] == "annotate_pod"} == {"shop-1", "shop-2"}
    assert await house.reconcile() == []

    house.change_spec(settings={"workerClass": "sync", "workers": 4})
    calls = await house.reconcile()

    assert [call[0] for call in calls].index("apply") < [call[0] for call in calls].index("annotate_pod")
    assert sum(call[0] == "annotate_pod" for call in calls) == 2


async def test_a_pod_that_is_gone_before_its_nudge_is_no_error(house, make_pod):
    house.inventory.take_pod(make_pod("gone"))

    await house.reconcile()

    assert house.record.status.conditions


async def test_an_object_that_others_own_is_not_adopted(house, cluster):
    foreign = {"kind": "Service", "metadata": {"name": "shop", "namespace": "default"}, "spec": {"ports": []}}
    cluster.put(foreign)

    with pytest.raises(RetryLater, match="Service shop exists already and was not created by Stablehand"):
        await house.reconcile()

    assert cluster.objects["Service", "default", "shop"]["spec"] == {"ports": []}
    assert house.record.status.reason == "NameTaken"


async def test_a_child_of_an_app_of_the_same_name_that_is_being_deleted_is_waited_for(house, cluster):
    owner = {"kind": "WSGIApp", "name": "shop", "uid": "another", "controller": True}
    cluster.put({"kind": "Service", "metadata": {"name": "shop", "namespace": "default", "ownerReferences": [owner]}})

    with pytest.raises(RetryLater, match="still being deleted"):
        await house.reconcile()


async def test_a_manifest_that_the_api_server_refuses_is_reported_in_the_status(house, cluster):
    cluster.failures["apply"] = [ClusterError("the API server refused it: spec.volumes: no such field", 422)]

    with pytest.raises(RetryLater):
        await house.reconcile()

    assert house.record.status.reason == "ManifestRefused"
    assert "no such field" in house.record.status.message


async def test_a_refusal_stays_in_whatever_status_is_written_until_a_reconciliation_succeeds(house, cluster):
    cluster.failures["apply"] = [ClusterError("the API server refused it: spec.volumes: no such field", 422)]
    with pytest.raises(RetryLater):
        await house.reconcile()
    app = read_app(house.record)

    assert house.reconciler.view(house.record, app, Settings(WorkerClass.SYNC, 1)).problem.reason == "ManifestRefused"
    await house.reconcile()
    assert house.reconciler.view(house.record, app, Settings(WorkerClass.SYNC, 1)).problem is None


async def test_an_api_server_that_does_not_answer_is_asked_again(house, cluster):
    cluster.failures["apply"] = [ClusterError("the API server does not answer")]

    with pytest.raises(RetryLater, match="does not answer"):
        await house.reconcile()

    await house.reconcile()
    assert ("Deployment", "default", "shop") in cluster.objects


async def test_a_status_that_was_changed_meanwhile_is_read_again_first(house, cluster):
    await house.reconcile()
    body = cluster.objects["WSGIApp", "default", "shop"]
    body["status"]["settings"]["desired"] = TUNED
    cluster.put(body)  # another operator wrote it, and this one has not heard of it yet
    deployment = cluster.objects["Deployment", "default", "shop"]
    deployment["status"] = {"replicas": 1, "readyReplicas": 1}
    house.inventory.take_child(cluster.put(deployment))

    with pytest.raises(RetryLater, match="the resource was changed meanwhile"):
        await house.reconcile()
    await house.reconcile()

    assert '"workers": 2, "threads": 48' in house.settings_in_config_map()


async def test_a_spec_that_the_schema_does_not_allow_changes_nothing_and_is_reported(house):
    await house.reconcile()
    house.change_spec(colour="blue")

    calls = await house.reconcile()

    assert applied(calls) == set()
    assert house.record.status.reason == "InvalidSpec"
    assert "colour" in house.record.status.message


async def test_an_app_that_is_gone_is_left_alone(house):
    house.inventory.drop_app(KEY)

    assert await house.reconcile() == []
