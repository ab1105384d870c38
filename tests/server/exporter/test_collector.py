from __future__ import annotations

import bisect
import itertools
import time

import pytest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from stablehand_server.shared_memory import Cell, Server, Slots, State
from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.metric_names import (
    EXIT_REASONS,
    NOTED_STATUSES,
    STATUS_CODES,
    SWITCH_OUTCOMES,
    TRIAL_OUTCOMES,
    TRIAL_STATES,
    WORKER_STATES,
)
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.observe.observation import observe
from stablehand_tuner.observe.snapshot import Snapshot


def value(samples, name, **labels):
    return samples[name, frozenset(labels.items())]


def bucket_of(seconds):
    return bisect.bisect_left(names.DURATION_BUCKETS, seconds)


def snapshot(samples, at):
    return Snapshot.from_samples([(name, dict(labels), number) for (name, labels), number in samples.items()], at)


def test_only_families_of_the_contract_are_exported_each_once(collector):
    families = [family.name for family in collector.collect()]

    assert len(families) == len(set(families))
    assert set(families) == {metric.name for metric in names.ALL} - {names.TUNER_DECISIONS.name}


def test_every_fixed_label_value_is_there_from_the_start_with_zero(scrape):
    samples = scrape()

    for worker, code in itertools.product("01", STATUS_CODES):
        assert value(samples, "stablehand_worker_requests_total", worker=worker, code=code) == 0
    for worker, mode in itertools.product("01", ("user", "system")):
        assert value(samples, "stablehand_worker_cpu_seconds_total", worker=worker, mode=mode) == 0
    assert all(value(samples, "stablehand_responses_total", status=status) == 0 for status in NOTED_STATUSES)
    assert all(value(samples, "stablehand_worker_exits_total", reason=reason) == 0 for reason in EXIT_REASONS)
    assert all(value(samples, "stablehand_workers", state=state) == 0 for state in WORKER_STATES)
    assert all(
        value(samples, "stablehand_generation_switches_total", outcome=outcome) == 0 for outcome in SWITCH_OUTCOMES
    )
    assert all(value(samples, "stablehand_trials_total", outcome=outcome) == 0 for outcome in TRIAL_OUTCOMES)
    assert all(value(samples, "stablehand_trial_state", state=state) == 0 for state in TRIAL_STATES)
    assert value(samples, "stablehand_trial_id") == 0
    assert all(value(samples, "stablehand_worker_on_trial", worker=worker) == 0 for worker in "01")


def test_a_trial_is_reported_by_its_id_its_state_and_its_worker(scrape, spawn, slots):
    spawn(0)
    on_trial = spawn(1, worker_class=2)
    on_trial.record.cells[Cell.ON_TRIAL] = 1.0
    slots.server[Server.TRIAL_ID] = 2**53 - 1
    slots.note_trial("running")
    samples = scrape()

    assert value(samples, "stablehand_trial_id") == 2**53 - 1
    assert [state for state in TRIAL_STATES if value(samples, "stablehand_trial_state", state=state)] == ["running"]
    assert [value(samples, "stablehand_worker_on_trial", worker=worker) for worker in "01"] == [0, 1]
    assert not any(value(samples, "stablehand_trials_total", outcome=outcome) for outcome in TRIAL_OUTCOMES)

    on_trial.record.cells[Cell.STATE] = State.RETIRING
    slots.note_trial("failed")
    samples = scrape()
    assert [state for state in TRIAL_STATES if value(samples, "stablehand_trial_state", state=state)] == ["failed"]
    assert [value(samples, "stablehand_worker_on_trial", worker=worker) for worker in "01"] == [0, 0]
    counted = {outcome: value(samples, "stablehand_trials_total", outcome=outcome) for outcome in TRIAL_OUTCOMES}
    assert counted == {outcome: float(outcome == "failed") for outcome in TRIAL_OUTCOMES}


def test_a_scrape_is_all_that_the_tuner_needs(scrape, spawn, slots):
    first, _ = spawn(0), spawn(1)
    before = snapshot(scrape(), 10.0)
    first.serve(40, 4.0, bucket=5)
    after = snapshot(scrape(), 14.0)

    assert after.settings_desired == after.settings_active == Settings("gthread", 2, 8)
    assert after.workers_ready == 2
    assert after.available_classes == {"sync", "gthread", "gevent"}
    assert after.workers[0].slots == 8
    assert after.workers[0].memory_bytes == 20_000_000
    observation = observe(before, after)
    assert observation.requests_per_second == 10
    assert observation.in_app == pytest.approx(1.0)


def test_the_openmetrics_format_parses_too(collector, spawn):
    spawn(0)
    families = {family.name for family in parse_openmetrics(openmetrics(collector).decode())}

    assert {"stablehand_worker_requests", "stablehand_request_duration_seconds"} <= families


def test_no_counter_falls_when_a_worker_ends_and_its_record_is_folded(scrape, spawn, slots, proc):
    worker = spawn(0)
    worker.serve(7, 0.7, bucket=3)
    worker.record.cells[Cell.QUEUE_SECONDS] = 0.5
    proc.run(worker.pid, user=2.0, system=1.0)
    proc.delays[worker.pid] = {1: 0.25}
    before = scrape()

    slots.release(worker.record, cpu_user=2.004, cpu_system=1.003)
    after = scrape()

    counters = [key for key in before if key[0].endswith(("_total", "_bucket", "_sum", "_count"))]
    assert len(counters) > 50
    for key in counters:
        assert after[key] >= before[key], key
    assert value(after, "stablehand_worker_requests_total", worker="0", code="2xx") == 7
    assert value(after, "stablehand_worker_cpu_seconds_total", worker="0", mode="user") == 2.004
    assert value(after, "stablehand_worker_run_delay_seconds_total", worker="0") == 0.25
    assert value(after, "stablehand_request_duration_seconds_count") == 7


def test_cpu_seconds_are_kept_while_an_ended_process_is_not_yet_folded(scrape, spawn, proc):
    worker = spawn(0)
    proc.run(worker.pid, user=2.0)
    scrape()
    del proc.times[worker.pid]

    assert value(scrape(), "stablehand_worker_cpu_seconds_total", worker="0", mode="user") == 2.0


def test_cpu_seconds_never_fall_even_if_the_master_accounts_for_less(scrape, spawn, slots, proc):
    worker = spawn(0)
    proc.run(worker.pid, user=2.0)
    scrape()
    slots.release(worker.record, cpu_user=1.9)

    assert value(scrape(), "stablehand_worker_cpu_seconds_total", worker="0", mode="user") == 2.0


def test_a_reused_process_id_counts_for_no_worker(scrape, spawn, proc):
    worker = spawn(0)
    proc.run(worker.pid, user=500.0, parent=1)

    assert value(scrape(), "stablehand_worker_cpu_seconds_total", worker="0", mode="user") == 0.0


def test_the_newest_ready_process_of_an_index_speaks_and_both_count_their_clients(scrape, spawn):
    old, new = spawn(0, state=State.RETIRING, worker_class=0), spawn(0, worker_class=2)
    old.record.cells[Cell.BUSY], new.record.cells[Cell.BUSY] = 1, 5
    old.record.cells[Cell.CONNECTIONS], new.record.cells[Cell.CONNECTIONS] = 2, 30
    old.record.cells[Cell.LAG_SECONDS], new.record.cells[Cell.LAG_SECONDS] = 9.0, 0.5
    new.record.cells[Cell.SLOTS] = 1000
    samples = scrape()

    assert value(samples, "stablehand_worker_info", worker="0", worker_class="gevent") == 1
    assert ("stablehand_worker_info", frozenset({("worker", "0"), ("worker_class", "sync")})) not in samples
    assert value(samples, "stablehand_worker_busy_slots", worker="0") == 6
    assert value(samples, "stablehand_worker_connections", worker="0") == 32
    assert value(samples, "stablehand_worker_slots", worker="0") == 1000
    assert value(samples, "stablehand_worker_lag_seconds", worker="0") == 0.5
    assert value(samples, "stablehand_workers", state="retiring") == 1


def test_a_retiring_process_offers_no_slots_and_reports_the_age_of_its_oldest_request(scrape, spawn):
    for age in (60.0, 90.0):
        cells = spawn(0, state=State.RETIRING, worker_class=1).record.cells
        cells[Cell.SLOTS], cells[Cell.BUSY] = 8, 1
        cells[Cell.OLDEST_REQUEST_SINCE] = time.monotonic() - age
    spawn(1).record.cells[Cell.OLDEST_REQUEST_SINCE] = time.monotonic() - 99.0  # nothing is inside
    samples = scrape()

    assert value(samples, "stablehand_worker_slots", worker="0") == 0
    assert value(samples, "stablehand_worker_busy_slots", worker="0") == 2
    assert 90.0 <= value(samples, "stablehand_worker_oldest_request_seconds", worker="0") < 99.0
    assert value(samples, "stablehand_worker_oldest_request_seconds", worker="1") == 0


def test_counters_stay_right_and_series_bounded_over_many_retiring_processes_of_an_index(scrape, spawn, slots):
    workers = [spawn(0, state=State.RETIRING) for _ in range(50)]
    for each in workers:
        each.serve(2, 0.1)
    before = scrape()
    for each in workers[::2]:
        slots.release(each.record)
    after = scrape()

    for samples in (before, after):
        assert value(samples, "stablehand_worker_requests_total", worker="0", code="2xx") == 100
        assert len([name for name, _ in samples if name == "stablehand_worker_oldest_request_seconds"]) == 2


def test_a_ready_process_speaks_for_its_index_while_its_successor_boots(scrape, spawn):
    spawn(0, worker_class=0)
    spawn(0, state=State.BOOTING, worker_class=2)

    assert value(scrape(), "stablehand_worker_info", worker="0", worker_class="sync") == 1


def test_an_index_beyond_the_number_of_workers_shows_only_while_its_process_runs(scrape, spawn, slots):
    surplus = spawn(5)
    surplus.serve(3, 0.3)
    assert value(scrape(), "stablehand_worker_requests_total", worker="5", code="2xx") == 3

    slots.release(surplus.record)
    samples = scrape()

    assert {dict(labels)["worker"] for name, labels in samples if name == "stablehand_worker_slots"} == {"0", "1"}
    assert value(samples, "stablehand_request_duration_seconds_count") == 3


def test_the_number_of_series_is_the_same_after_fifty_generations(scrape, spawn, slots):
    living = [spawn(0), spawn(1)]
    before = scrape()
    for _ in range(50):
        successors = [spawn(0), spawn(1)]
        for worker in living:
            slots.release(worker.record)
        living = successors

    assert scrape().keys() == before.keys()


def test_ten_thousand_workers_that_lived_before_leave_their_counts_and_nothing_else_to_scrape(scrape, spawn, slots):
    spawn(0)
    spawn(1)
    before = scrape()
    for age in range(10_000):
        gone = slots.allocate(index=age % 2, age=age, worker_class=1, slots=8)
        gone.cells[Cell.REQUESTS + 1] = 1
        slots.release(gone)
    after = scrape()

    assert after.keys() == before.keys()
    assert value(after, "stablehand_worker_requests_total", worker="0", code="2xx") == 5_000
    assert value(after, "stablehand_worker_requests_total", worker="1", code="2xx") == 5_000


def test_a_class_of_the_users_own_is_named_custom_and_is_no_setting(scrape, spawn, slots):
    slots.server[Server.ACTIVE] = -1
    spawn(0, worker_class=-1)
    samples = scrape()

    assert value(samples, "stablehand_worker_info", worker="0", worker_class="custom") == 1
    kinds = [dict(labels)["kind"] for name, labels in samples if name == "stablehand_setting_worker_class_info"]
    assert kinds == ["desired"]
    assert snapshot(samples, 0.0).settings_active is None


def test_no_class_is_claimed_before_the_master_has_written_the_settings(proc):
    from stablehand_server.exporter.collector import ServerCollector  # noqa: PLC0415
    from stablehand_server.exporter.processes import Processes  # noqa: PLC0415
    from stablehand_server.linux.cgroup import Cgroup  # noqa: PLC0415

    families = {family.name: family for family in ServerCollector(Slots(), Processes(1), Cgroup({})).collect()}

    assert families["stablehand_setting_worker_class_info"].samples == []


def test_histograms_are_cumulative_and_sum_up_the_whole_server(scrape, spawn, slots):
    first, second, gone = spawn(0), spawn(1), spawn(0)
    first.serve(1, 0.004, bucket=bucket_of(0.004))
    second.serve(2, 0.4, bucket=bucket_of(0.4))
    gone.serve(3, 60.0, bucket=bucket_of(60.0))
    slots.release(gone.record)
    samples = scrape()

    buckets = {"0.005": 1, "0.25": 1, "0.5": 3, "10.0": 3, "+Inf": 6}
    for bound, count in buckets.items():
        assert value(samples, "stablehand_request_duration_seconds_bucket", le=bound) == count
    assert value(samples, "stablehand_request_duration_seconds_sum") == pytest.approx(60.404)


def test_switches_exits_backlog_and_generation_are_what_the_master_wrote(scrape, slots):
    slots.count_switch("rejected")
    slots.count_exit("error")
    slots.count_exit("error")
    slots.write_server(Server.BACKLOG, [17, 2048])
    slots.server[Server.GENERATION] = 4
    samples = scrape()

    assert value(samples, "stablehand_generation_switches_total", outcome="rejected") == 1
    assert value(samples, "stablehand_generation_switches_total", outcome="done") == 0
    assert value(samples, "stablehand_worker_exits_total", reason="error") == 2
    assert value(samples, "stablehand_listen_backlog") == 17
    assert value(samples, "stablehand_listen_backlog_limit") == 2048
    assert value(samples, "stablehand_generation") == 4


def test_a_blocking_module_of_any_worker_shows(scrape, spawn):
    spawn(0).record.cells[Cell.BLOCKING_MODULES] = 0b1
    spawn(1).record.cells[Cell.BLOCKING_MODULES] = 0b10
    modules = {dict(labels)["module"] for name, labels in scrape() if name == "stablehand_blocking_module_info"}

    assert modules == {"psycopg2", "MySQLdb"}
