from __future__ import annotations

import pytest

from stablehand_bench import machines
from stablehand_simulator.app import App
from stablehand_tuner.contracts.settings import Settings, WorkerClass


@pytest.fixture(scope="module")
def computing():
    return machines.measure("computes", App(0.005), cores=16, pods=1)


def test_a_machine_with_more_cores_gets_a_process_for_each(computing):
    assert computing.tuned == Settings(WorkerClass.SYNC, 16)
    assert computing.ratio == pytest.approx(1.0, abs=0.03)


def test_pods_of_one_core_serve_as_much_as_one_pod_with_all_cores(computing):
    pods = machines.measure("computes", App(0.005), cores=1, pods=16)

    assert pods.tuned == Settings(WorkerClass.SYNC, 1)
    assert pods.tuned_rate == pytest.approx(computing.tuned_rate, rel=0.03)


def test_each_class_is_compared_with_the_best_of_all(computing):
    assert set(computing.of_classes) == {"sync", "gthread", "gevent"}
    assert max(computing.of_classes.values()) >= computing.best_rate


def test_the_table_names_an_app_once_and_has_a_row_for_each_machine(computing):
    lines = machines.table([computing, computing]).splitlines()

    assert lines[2].startswith("| computes | 1 × 16 | ")
    assert lines[3].startswith("|  | 1 × 16 | ")
    assert "| sync 16 | 1.00 |" in lines[2]


def test_larger_machines_have_memory_and_clients_in_proportion():
    small, large = (machines.workload(App(0.005), cores=cores, pods=1) for cores in (1, 16))

    assert large.machine.memory_limit == 16 * small.machine.memory_limit
    assert large.clients == 16 * small.clients
