from __future__ import annotations

import pytest

from stablehand_server.master.trial import answers
from stablehand_server.master.trial.answers import Answers
from stablehand_server.measure.recorder import UnlockedRecorder
from stablehand_server.shared_memory import Cell, Slots
from stablehand_tuner.contracts.metric_names import NOTED_STATUSES, STATUS_CODES

OK, MOVED, REFUSED, BROKEN = (STATUS_CODES.index(code) for code in ("2xx", "3xx", "4xx", "5xx"))
UNAUTHORIZED = len(STATUS_CODES) + NOTED_STATUSES.index("401")


@pytest.fixture
def cells():
    return Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells


def serve(cells, number, code, size=None, client=None):
    recorder = UnlockedRecorder(cells)
    for _ in range(number):
        recorder.enter(None)
        recorder.leave(0.01, code, size, client)


def read(cells):
    return Answers.of(cells[answers.CELLS])


def kinds(found):
    """Return the numbers of answers by kind, without the zeros."""
    return {kind: count for kind, count in enumerate(found.counts) if count}


def test_each_answer_is_of_one_kind(cells):
    serve(cells, 2, OK)
    serve(cells, 3, OK, size=100)
    serve(cells, 4, REFUSED)
    serve(cells, 5, UNAUTHORIZED)
    found = read(cells)

    assert sum(found.counts) == 14
    assert sorted(kinds(found).values()) == [2, 3, 4, 5]
    assert found.counts[UNAUTHORIZED] == 5


def test_kinds_that_were_rare_are_unusual_and_failures_are_none_of_them(cells):
    serve(cells, 98, OK, size=100)
    serve(cells, 2, MOVED)
    rare = answers.rare(read(cells))

    assert UNAUTHORIZED in rare
    assert MOVED not in rare
    assert BROKEN not in rare
    assert len(rare) == answers.KINDS - 5  # connections taken over, failures of two kinds, redirects, the usual size


def test_too_few_answers_make_nothing_rare(cells):
    serve(cells, 49, OK)

    assert answers.rare(read(cells)) == ()


def test_the_clients_that_get_unusual_answers_are_told_apart_while_the_master_asks_for_it(cells):
    serve(cells, 1, UNAUTHORIZED, client=("192.0.2.1", 1))
    assert cells[Cell.CLIENTS] == 0

    cells[Cell.UNUSUAL] = answers.bitmap([UNAUTHORIZED])
    serve(cells, 9, OK, client=("192.0.2.1", 2))
    serve(cells, 9, BROKEN, client=("192.0.2.1", 3))
    assert cells[Cell.CLIENTS] == 0
    serve(cells, 9, UNAUTHORIZED, client=("192.0.2.1", 4))
    assert int(cells[Cell.CLIENTS]).bit_count() == 1
    for port in range(100):
        serve(cells, 1, UNAUTHORIZED, client=("192.0.2.1", port))
    assert int(cells[Cell.CLIENTS]).bit_count() > 20


def test_a_successful_answer_of_an_unusual_size_is_unusual(cells):
    serve(cells, 100, OK, size=1000)
    cells[Cell.UNUSUAL] = answers.bitmap(answers.rare(read(cells)))
    serve(cells, 1, OK, size=900, client=1)
    assert cells[Cell.CLIENTS] == 0

    serve(cells, 1, OK, size=90, client=1)
    assert cells[Cell.CLIENTS] != 0


def test_the_most_frequent_kinds_are_named(cells):
    serve(cells, 3, UNAUTHORIZED)
    serve(cells, 7, OK, size=70)
    found = read(cells)

    assert found.named(range(answers.KINDS)) == "7 times 2xx of up to 128 bytes, 3 times 401"
    assert answers.NONE.named(range(answers.KINDS)) == "none"
