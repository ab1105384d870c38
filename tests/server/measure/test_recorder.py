from __future__ import annotations

import time

from stablehand_server.measure.recorder import RequestRecorder, UnlockedRecorder, note_oldest_request
from stablehand_server.shared_memory import Cell, Slots


def in_flight(*ages, looked=None):
    """Return the cells of a worker with requests of these ages inside the app, after looks at them, and the clock."""
    cells = Slots().allocate(index=0, age=1, worker_class=0, slots=9).cells
    recorder, began = UnlockedRecorder(cells), time.monotonic()
    for _ in ages:
        recorder.enter(None)
    note_oldest_request(cells, began if looked is None else looked)
    return cells, recorder, began


def test_the_oldest_request_is_as_old_as_the_look_that_saw_it_first():
    cells, _, began = in_flight(1)
    note_oldest_request(cells, began + 60.0)

    assert cells[Cell.OLDEST_REQUEST_SINCE] == began


def test_the_oldest_request_is_another_one_when_those_seen_before_have_left():
    cells, recorder, began = in_flight(1, 1)
    recorder.leave(1.0, 1)
    note_oldest_request(cells, began + 10.0)
    assert cells[Cell.OLDEST_REQUEST_SINCE] == began
    recorder.enter(None)
    recorder.leave(1.0, 1)  # the other one of those seen first
    note_oldest_request(cells, began + 20.0)

    assert cells[Cell.OLDEST_REQUEST_SINCE] == began + 20.0
    assert cells[Cell.OLD_REQUESTS] == 1


def test_short_requests_that_come_and_go_do_not_make_a_long_one_look_younger():
    cells, recorder, began = in_flight(1, looked=time.monotonic() - 30.0)
    for _ in range(100):
        recorder.enter(None)
        recorder.leave(0.001, 1)
    note_oldest_request(cells, began)

    assert began - cells[Cell.OLDEST_REQUEST_SINCE] >= 30.0


def test_without_requests_the_next_one_is_as_old_as_the_last_look():
    cells, recorder, began = in_flight()
    note_oldest_request(cells, began + 5.0)
    recorder.enter(None)

    assert cells[Cell.OLDEST_REQUEST_SINCE] == began + 5.0


def test_a_recorder_without_a_lock_writes_the_same_cells():
    locked, unlocked = (Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells for _ in range(2))
    for recorder in (RequestRecorder(locked), UnlockedRecorder(unlocked)):
        for seconds in (0.0, 0.005, 0.0051, 3.0, 11.0):
            recorder.enter(seconds)
            recorder.enter(None)
            recorder.leave(seconds, 1)

    assert unlocked[Cell.BUSY] == 5
    assert sum(unlocked[Cell.QUEUE_BUCKETS : Cell.QUEUE_SECONDS]) == 5
    assert unlocked.tolist() == locked.tolist()


def test_an_abandoned_response_that_is_collected_while_its_thread_counts_another_is_counted_after_it():
    cells = Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells
    recorder = RequestRecorder(cells)
    recorder.enter(None)
    recorder.enter(None)
    recorder._acquire()  # as where the collector runs between two steps of `leave`
    recorder.abandon(0.1, 1)
    assert cells[Cell.BUSY] == 2
    recorder._release()
    recorder.leave(0.1, 1)

    assert cells[Cell.BUSY] == 0


def test_a_recorder_that_moves_to_other_cells_forgets_the_old_ones_and_who_held_its_lock():
    old, new = (Slots().allocate(index=0, age=1, worker_class=0, slots=9).cells for _ in range(2))
    recorder = RequestRecorder(old)
    recorder.enter(None)
    recorder._acquire()  # as a thread does that is not forked along
    recorder.move(new)
    recorder.leave(1.0, 1)

    assert (old[Cell.BUSY], new[Cell.BUSY]) == (1.0, -1.0)
    assert (old[Cell.REQUESTS + 1], new[Cell.REQUESTS + 1]) == (0.0, 1.0)
