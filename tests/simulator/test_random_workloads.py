"""What holds on every random workload: two thousand of them, the same ones every time.

A workload that breaks a property is found again by its seed: `stablehand tune simulate --generated SEED`.
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import statistics

import pytest

from stablehand_simulator import generated, survey

MANY = 2000
FEW = 50


def measured(measure, seeds, *, processes=1):
    if processes == 1:
        return [measure(seed) for seed in seeds]
    spawning = multiprocessing.get_context("spawn")
    # They compute for minutes. Tests of real servers that run beside them go first; what those leave idle suffices.
    nice = functools.partial(os.nice, 19)
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=spawning, initializer=nice) as pool:
        return list(pool.map(measure, seeds, chunksize=20))


# Workers were killed for their memory on these seeds when the list was written: what one request holds cannot be told
# from what a worker holds while each worker has had only so many requests. None may join them.
KNOWN_KILLS = {397, 1264}


def listed(measured):
    return "\n".join(
        f"seed {each.seed}: {each.start.settings} -> {each.end.settings} (best {each.best.settings}), "
        f"{each.of_best:.2f} of the best, {each.of_start:.2f} of the start, p99 {each.p99_of_start:.1f} of its, "
        f"{each.begun} changes, settled at {each.settled_at:.0f} s, {each.oom_exits} workers killed, "
        f"{each.failed:.0f} of {each.requests:.0f} requests failed"
        for each in measured
    )


def keep_their_rules(all_of_them, most_changes=6):
    """What holds on each single workload."""
    broken = [each for each in all_of_them if each.broken]
    killed = [each for each in all_of_them if each.oom_exits and each.seed not in KNOWN_KILLS]
    restless = [each for each in all_of_them if each.begun > most_changes]
    harmed = [each for each in all_of_them if each.of_start < 0.85]

    assert not broken, f"settings that the policy forbids:\n{listed(broken)}"
    assert not killed, f"more memory than there is:\n{listed(killed)}"
    assert not restless, f"more than {most_changes} changes:\n{listed(restless)}"
    assert not harmed, f"clearly fewer answers than in the beginning:\n{listed(harmed)}"


def share(all_of_them, holds):
    return sum(map(holds, all_of_them)) / len(all_of_them)


def test_fifty_random_workloads_keep_the_tuners_rules():
    keep_their_rules(measured(survey.measure, range(FEW)))


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_two_thousand_random_workloads_keep_the_tuners_rules_settle_and_come_near_the_best():
    all_of_them = measured(survey.measure, range(MANY), processes=2)
    worst = survey.worst(all_of_them)
    print(f"geometric mean of the best {survey.mean_of_best(all_of_them):.3f}; the worst:\n{listed(worst)}")  # noqa: T201 (pytest shows it with -rP)
    changed = [each.settled_at for each in all_of_them if each.begun]

    keep_their_rules(all_of_them)
    assert statistics.median(changed) <= 120
    # 20 windows of 15 seconds; those that take longer answer a few requests in a window
    assert share(all_of_them, lambda each: each.settled_at <= 300) >= 0.93, listed(worst)
    assert share(all_of_them, lambda each: not each.is_worse) >= 0.99, listed(worst)
    assert share(all_of_them, lambda each: each.of_best >= 0.95) >= 0.8, listed(worst)
    assert survey.mean_of_best(all_of_them) >= 0.93, listed(worst)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_apps_that_turn_into_others_every_three_minutes_are_followed_within_the_budget():
    all_of_them = measured(survey.measure_changing, range(100), processes=2)

    keep_their_rules([each for each in all_of_them if each.of_start >= 1], most_changes=10)  # five apps, two each
    assert max(each.begun for each in all_of_them) <= 20, listed(all_of_them)
    assert survey.mean_of_best(all_of_them) >= 0.85, listed(survey.worst(all_of_them))


def most_failed(all_of_them):
    return sorted(all_of_them, key=lambda each: -each.failed / max(1.0, each.requests))[:10]


def test_fifty_random_apps_with_hazards_keep_the_tuners_rules():
    all_of_them = measured(survey.measure_hazardous, range(FEW))

    assert not [each for each in all_of_them if each.broken]
    assert max(each.begun for each in all_of_them) <= 6, listed(all_of_them)
    assert min(each.of_start for each in all_of_them) >= 0.85, listed(all_of_them)


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_two_thousand_random_apps_with_hazards_come_near_the_best_that_does_no_harm():
    all_of_them = measured(survey.measure_hazardous, range(MANY), processes=2)
    worst, failed = survey.worst(all_of_them), most_failed(all_of_them)
    told = f"the worst:\n{listed(worst)}\nmost failed requests:\n{listed(failed)}"
    print(f"geometric mean of the best {survey.mean_of_best(all_of_them):.3f}, {told}")  # noqa: T201 (pytest shows it with -rP)

    assert not [each for each in all_of_them if each.broken]
    assert max(each.begun for each in all_of_them) <= 8, told
    assert share(all_of_them, lambda each: each.of_best >= 0.95) >= 0.68, told
    assert survey.mean_of_best(all_of_them) >= 0.91, told
    assert sum(each.failed for each in all_of_them) <= 0.002 * sum(each.requests for each in all_of_them), told


def test_the_same_seed_is_the_same_workload_and_the_same_run():
    assert generated.workload(7) == generated.workload(7)
    assert generated.workload(7) != generated.workload(8)
    assert generated.hazardous(7) == generated.hazardous(7)
    assert survey.measure(7, 200) == survey.measure(7, 200)
