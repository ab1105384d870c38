from __future__ import annotations

import pytest

from stablehand_operator.pods import Pod, key_line

TRACEBACK = """Traceback (most recent call last):
  File "/app/shop.py", line 1, in <module>
    import nowhere
ModuleNotFoundError: No module named 'nowhere'
[2026-11-24 10:00:00 +0000] [7] [INFO] Worker exiting (pid: 7)
[2026-11-24 10:00:00 +0000] [1] [ERROR] Reason: Worker failed to boot.
"""


def container(**state):
    return {"containerStatuses": [{"name": "app", "ready": False, **state}]}


def test_a_pod_that_is_ready_should_serve(make_pod):
    pod = Pod.from_object(make_pod())

    assert pod.should_serve
    assert pod.failure is None


@pytest.mark.parametrize("change", [{"ready": False}, {"ip": ""}])
def test_a_pod_that_is_not_ready_or_has_no_address_should_not_serve(make_pod, change):
    assert not Pod.from_object(make_pod(**change)).should_serve


def test_a_pod_that_is_being_deleted_should_not_serve(make_pod):
    body = make_pod()
    body["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z"

    assert not Pod.from_object(body).should_serve


def test_an_app_whose_import_fails_is_reported_with_the_error_s_last_line(make_pod):
    ended = {"exitCode": 3, "reason": "Error", "message": TRACEBACK}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    body = make_pod(ready=False, **container(state={"waiting": waiting}, lastState={"terminated": ended}))

    failure = Pod.from_object(body).failure

    assert failure is not None
    assert (failure.reason, failure.message) == ("AppFailed", "ModuleNotFoundError: No module named 'nowhere'")


def test_a_failure_is_reported_while_the_container_has_restarted_and_is_not_ready_yet(make_pod):
    ended = {"exitCode": 3, "message": "ImportError: no"}
    body = make_pod(ready=False, **container(state={"running": {}}, lastState={"terminated": ended}))

    assert Pod.from_object(body).failure.message == "ImportError: no"


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            "ImagePullBackOff",
            "pulling",
        ),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, "CreateContainerConfigError", "waits"),
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled", "memory limit"),
        ({"terminated": {"reason": "Error", "exitCode": 3}}, "AppFailed", "exit code 3"),
        ({"terminated": {"reason": "Completed", "exitCode": 0}}, "AppEnded", "by itself"),
    ],
)
def test_what_keeps_a_container_from_serving_is_reported(make_pod, state, reason, words):
    failure = Pod.from_object(make_pod(ready=False, **container(state=state))).failure

    assert failure.reason == reason
    assert words in failure.message


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_container_that_is_being_made_is_no_failure(make_pod, reason):
    assert Pod.from_object(make_pod(ready=False, **container(state={"waiting": {"reason": reason}}))).failure is None


def test_a_pod_that_no_node_can_run_is_reported(make_pod):
    conditions = [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]

    failure = Pod.from_object(make_pod(conditions=conditions)).failure

    assert failure.reason == "PodsUnschedulable"
    assert "0/1 nodes" in failure.message


def test_without_an_exception_the_last_line_is_reported():
    assert key_line("starting\n\nno such file: shop.py\n\n") == "no such file: shop.py"


def test_an_endless_line_is_cut():
    assert len(key_line("x" * 10_000)) == 500


def test_an_empty_message_has_no_line_to_report():
    assert key_line(" \n \n") == ""
