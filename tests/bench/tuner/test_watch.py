from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner.watch import Reading, Watch

RUNNING = """# HELP stablehand_setting The settings.
# TYPE stablehand_setting gauge
stablehand_setting{name="workers",kind="desired"} 4.0
stablehand_setting{name="workers",kind="active"} 2.0
stablehand_setting{name="threads",kind="active"} 8.0
stablehand_setting{name="worker_connections",kind="active"} 1000.0
stablehand_setting_worker_class_info{worker_class="gthread",kind="active"} 1.0
stablehand_setting_worker_class_info{worker_class="gevent",kind="desired"} 1.0
stablehand_worker_info{worker="0",worker_class="gthread"} 1.0
stablehand_worker_info{worker="1",worker_class="gevent"} 1.0
stablehand_worker_slots{worker="0"} 8.0
stablehand_worker_slots{worker="1"} 8.0
stablehand_worker_exits_total{reason="oom"} 3.0
stablehand_worker_exits_total{reason="retired"} 5.0
stablehand_request_duration_seconds_sum 12.0
"""


def test_a_scrape_reports_what_is_active_and_not_what_is_desired():
    moment = Reading(RUNNING).moment(7.0)

    assert (moment.at, moment.settings, moment.slots) == (7.0, "gthread 2 × 8", 16.0)


def test_a_single_worker_of_a_class_is_seen():
    assert Reading(RUNNING).moment(7.0).classes == ("gevent", "gthread")


def test_only_the_kills_for_memory_are_counted():
    assert Reading(RUNNING).killed_for_memory() == 3


def test_in_the_middle_of_a_switch_there_are_no_settings():
    without = "".join(line for line in RUNNING.splitlines(keepends=True) if 'kind="active"' not in line)

    assert Reading(without).moment(7.0).settings == ""


def test_metrics_that_stay_away_are_an_error(monkeypatch):
    watch = Watch(port=1)
    watch.check()
    monkeypatch.setattr(watch, "_start", watch._start - 11)
    with pytest.raises(BenchError, match="no metrics"):
        watch.check()
