from __future__ import annotations

import pytest

from stablehand_server.master.trial import deeds
from stablehand_server.master.trial.answers import FAILED, KINDS, Answers
from stablehand_server.master.trial.comparison import Requests
from stablehand_server.measure.recorder import RequestRecorder
from stablehand_server.shared_memory import Cell, Slots
from stablehand_tuner.contracts.metric_names import STATUS_CODES

OK, MISSING, BROKEN, ERROR = (STATUS_CODES.index(code) for code in ("2xx", "4xx", "5xx", "error"))
COUNTS = {OK: 3, MISSING: 1, BROKEN: 1, ERROR: 1}
ANSWERS = Answers(tuple(float(COUNTS.get(kind, 0)) for kind in range(KINDS)))


@pytest.fixture
def slots():
    return Slots()


def serve(record, *requests):
    """Serve requests, given by seconds and code."""
    recorder = RequestRecorder(record.cells)
    for seconds, code in requests:
        recorder.enter(None)
        recorder.leave(seconds, code)


def test_what_a_worker_has_done_is_read_from_its_cells(slots):
    cells = slots.allocate(index=0, age=1, worker_class=1, slots=8).cells
    serve(slots.record(0), (0.1, OK), (0.1, MISSING), (0.1, BROKEN), (0.1, ERROR), (4.5, OK), (60.0, OK))
    RequestRecorder(cells).enter(None)

    assert deeds.of_worker(cells, 3.0, now=5.0) == deeds.Deeds(
        finished=6, failed=2, busy=1, short_seconds=pytest.approx(0.4), late=0, answers=ANSWERS
    )
    assert deeds.of_worker(cells, 5.0, now=5.0).short_seconds == pytest.approx(5.4)  # at most, by the bucket's bound
    assert deeds.of_worker(cells, 0.09, now=5.0).short_seconds == 0


def test_a_timer_that_has_not_fired_is_late_before_it_says_so_itself(slots):
    cells = slots.allocate(index=0, age=1, worker_class=1, slots=8).cells
    assert deeds.of_worker(cells, 3.0, now=50.0).late == 0  # it has none

    cells[Cell.TICKED_AT], cells[Cell.LAG_SECONDS] = 50.0, 0.03
    assert deeds.of_worker(cells, 3.0, now=50.05).late == pytest.approx(0.03)
    assert deeds.of_worker(cells, 3.0, now=52.1).late == pytest.approx(2.0)


def test_all_that_the_server_has_served_includes_processes_that_have_ended(slots):
    first, second = (slots.allocate(index=0, age=age, worker_class=1, slots=8) for age in (1, 2))
    serve(first, *[(0.1, OK)] * 10, (0.1, BROKEN))
    serve(second, *[(0.1, OK)] * 5, (0.1, ERROR))
    slots.release(first)

    answered = deeds.of_all(slots)
    assert answered.split(FAILED) == Requests(failed=2, good=15)
    assert answered.counts[OK] == 15
