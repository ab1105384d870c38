"""What single requests do: the classic figures of worker classes, kernel and backend, on simulated pods."""

from __future__ import annotations

import pytest

from stablehand_simulator import App, Balancer, Cluster, Kind, Machine
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.observation import observe

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
WAITING = App(compute=0.0001, wait=1.0, jitter=0.0, process_bytes=1e6)
COMPUTING = App(compute=0.01, jitter=0.0, process_bytes=1e6)


def observed(cluster, seconds, *, warm=2.0, server=0):
    cluster.run_until(cluster.now + warm)
    before = cluster.servers[server].snapshot()
    cluster.run_until(cluster.now + seconds)
    return observe(before, cluster.servers[server].snapshot())


@pytest.mark.parametrize(
    ("settings", "at_once"),
    [
        (Settings(SYNC, 4), 4),
        (Settings(GTHREAD, 4, 2), 8),
        (Settings(GEVENT, 3, 1, 100), 300),
    ],
    ids=str,
)
def test_a_class_serves_as_many_requests_at_once_as_it_has_slots(settings, at_once):
    seen = observed(Cluster(WAITING, settings, clients=400), 10, warm=120)  # until the first in the queue got its turn

    assert seen.in_app == pytest.approx(at_once, rel=0.02)
    assert seen.requests_per_second == pytest.approx(at_once, rel=0.05)
    assert seen.demand == pytest.approx(400, rel=0.05)


@pytest.mark.parametrize("settings", [Settings(GTHREAD, 1, 8), Settings(GEVENT, 1, 1, 100)], ids=str)
def test_one_process_computes_on_one_core_however_many_requests_it_has(settings):
    seen = observed(Cluster(COMPUTING, settings, clients=8, machine=Machine(cores=4)), 10)

    assert seen.cores_used == pytest.approx(1.0, rel=0.01)
    assert seen.requests_per_second == pytest.approx(100, rel=0.02)


def test_threads_that_compute_without_the_lock_use_all_cores():
    app = App(compute=0.0001, compute_unlocked=0.01, jitter=0.0, process_bytes=1e6)
    seen = observed(Cluster(app, Settings(GTHREAD, 1, 8), clients=8, machine=Machine(cores=4)), 10)

    assert seen.cores_used == pytest.approx(4.0, rel=0.02)


def test_a_blocking_call_stops_an_event_loop_and_its_lag_shows_it():
    app = App(compute=0.001, wait=0.1, jitter=0.0, blocks_event_loop=True, process_bytes=1e6)
    blocked = observed(Cluster(app, Settings(GEVENT, 1), clients=20), 10)
    threads = observed(Cluster(app, Settings(GTHREAD, 1, 20), clients=20), 10)

    assert blocked.requests_per_second == pytest.approx(1 / 0.101, rel=0.02)
    assert blocked.in_app == pytest.approx(1.0, rel=0.05)
    assert blocked.lag_seconds > 1.0
    assert threads.requests_per_second > 15 * blocked.requests_per_second
    assert threads.lag_seconds < 0.1


def test_processes_that_want_more_cores_than_there_are_wait_for_them_and_the_kernel_accounts_it():
    seen = observed(Cluster(COMPUTING, Settings(SYNC, 4), clients=4), 10)

    assert seen.cores_used == pytest.approx(2.0, rel=0.01)
    assert seen.run_delay_seconds_total == pytest.approx(20, rel=0.02)
    assert seen.cpu_share == pytest.approx(1.0)


def test_a_cpu_limit_throttles_and_the_cgroup_accounts_it():
    machine = Machine(cores=0.5, node_cores=4)
    seen = observed(Cluster(COMPUTING, Settings(SYNC, 2), clients=4, machine=machine), 10)

    assert seen.cores_used == pytest.approx(0.5, rel=0.02)
    assert seen.throttled_share > 0.5
    assert seen.cores == 0.5


def test_a_backend_serves_no_more_at_once_than_it_has_connections_whichever_pod_asks():
    cluster = Cluster(WAITING, Settings(GTHREAD, 1, 50), pods=2, clients=100, backend_connections=10)
    cluster.run_until(30)

    assert cluster.finished == pytest.approx(10 * 29, rel=0.03)


def test_a_convoy_of_threads_costs_cpu_only_while_others_compute():
    app = App(compute=0.0006, thread_overhead=0.0006, jitter=0.0, process_bytes=1e6)
    busy = observed(Cluster(app, Settings(GTHREAD, 2, 4), clients=8), 5)
    alone = observed(Cluster(app, Settings(SYNC, 2), clients=8), 5)
    waiting = App(compute=0.0006, wait=0.2, thread_overhead=0.0006, jitter=0.1, process_bytes=1e6)
    idle = observed(Cluster(waiting, Settings(GTHREAD, 2, 16), clients=32), 5)

    assert 2.6 <= alone.requests_per_second / busy.requests_per_second <= 4.1
    assert idle.cpu_seconds_per_request < 0.0008


def test_workers_that_exceed_the_memory_are_killed_and_their_requests_are_lost():
    app = App(compute=0.001, wait=1.0, process_bytes=50e6, request_bytes=20e6)
    cluster = Cluster(app, Settings(GTHREAD, 2, 32), clients=64, machine=Machine(memory_limit=500e6))
    seen = observed(cluster, 20)

    assert seen.oom_exits > 0
    assert seen.errors > 0
    assert cluster.failed > 0


def test_a_switch_goes_worker_by_worker_with_one_more_than_either_side_needs():
    app = App(compute=0.001, wait=0.05, process_bytes=100e6)
    cluster = Cluster(app, Settings(SYNC, 4), clients=8, machine=Machine(boot_seconds=2, memory_limit=None))
    cluster.run_until(1)
    server = cluster.servers[0]
    server.apply(Settings(GTHREAD, 2, 8))
    cluster.run_until(2.5)
    in_between = server.counts.active
    cluster.run_until(8)

    assert in_between is None
    assert server.counts.active == Settings(GTHREAD, 2, 8)
    assert server.peak_memory_bytes == pytest.approx(500e6)
    assert cluster.failed == 0
    assert server.snapshot().workers_ready == 2


def test_what_needs_no_new_process_gets_none():
    cluster = Cluster(WAITING, Settings(GTHREAD, 2, 4), clients=8, machine=Machine(boot_seconds=5))
    server = cluster.servers[0]
    cluster.run_until(1)
    server.apply(Settings(GTHREAD, 2, 16))

    assert server.counts.active == Settings(GTHREAD, 2, 16)
    assert server.snapshot().workers_ready == 2


def test_settings_that_the_server_refuses_never_run():
    machine = Machine(refuses=lambda settings: settings.worker_class is GEVENT)
    cluster = Cluster(WAITING, Settings(SYNC, 2), clients=4, machine=machine)
    cluster.servers[0].apply(Settings(GEVENT, 2))
    cluster.run_until(5)

    counts = cluster.servers[0].counts
    assert counts.active == counts.desired == Settings(SYNC, 2)
    assert counts.rejected == 1


def test_a_worker_that_does_not_end_in_time_is_killed():
    cluster = Cluster(App(compute=0.001, wait=300.0, jitter=0.0), Settings(SYNC, 1), clients=1)
    cluster.run_until(1)
    cluster.servers[0].apply(Settings(GTHREAD, 1, 4))
    cluster.run_until(40)

    assert cluster.failed == 1


def test_connections_that_find_the_kernels_queue_full_are_refused():
    cluster = Cluster(WAITING, Settings(SYNC, 1), clients=50, machine=Machine(listen_backlog=10))
    cluster.run_until(3)

    assert cluster.refused > 0
    assert cluster.servers[0].snapshot().backlog <= 10


def test_errors_come_by_worker_class():
    app = App(compute=0.001, error_share={GTHREAD: 0.5})
    threads = observed(Cluster(app, Settings(GTHREAD, 1, 2), clients=2), 10)
    sync = observed(Cluster(app, Settings(SYNC, 1), clients=2), 10)

    assert threads.error_share == pytest.approx(0.5, abs=0.05)
    assert sync.errors == 0


def test_several_kinds_of_requests_come_in_their_shares():
    app = App(compute=0.001, jitter=0.0, kinds=(Kind(0.3, 0.011),))
    seen = observed(Cluster(app, Settings(SYNC, 1), clients=2), 20)

    assert seen.cpu_seconds_per_request == pytest.approx(0.004, rel=0.1)
    (compute, compute_variance), (wait, wait_variance) = app.moments()
    assert (compute, wait, wait_variance) == (pytest.approx(0.004), 0.0, 0.0)
    assert compute_variance == pytest.approx(0.21 * 0.01**2)


@pytest.mark.parametrize("balancer", Balancer)
def test_every_balancer_gives_each_pod_its_share(balancer):
    cluster = Cluster(App(compute=0.001, wait=0.02), Settings(GTHREAD, 1, 16), pods=3, clients=30, balancer=balancer)
    cluster.run_until(20)
    served = [sum(worker.requests for worker in each.snapshot().workers.values()) for each in cluster.servers]

    assert min(served) > 0.9 * max(served)


def test_clients_and_rate_follow_their_settings():
    cluster = Cluster(App(compute=0.001, wait=0.1, jitter=0.0), Settings(GTHREAD, 1, 32), clients=4)
    cluster.run_until(10)
    cluster.set_clients(20)
    many = observed(cluster, 10)
    cluster.set_clients(0)
    cluster.set_rate(50)
    opened = observed(cluster, 20)

    assert many.in_app == pytest.approx(20, rel=0.02)
    assert opened.requests_per_second == pytest.approx(50, rel=0.1)
    assert opened.in_app == pytest.approx(5, rel=0.2)


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    def run(seed):
        cluster = Cluster(App(compute=0.003, wait=0.02, jitter=0.5), Settings(GTHREAD, 2, 4), rate=100, seed=seed)
        cluster.run_until(10)
        return list(cluster.servers[0].samples())

    assert run(7) == run(7)
    assert run(7) != run(8)
