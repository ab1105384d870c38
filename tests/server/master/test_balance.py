from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_server.master.balance import Balance, share
from stablehand_server.shared_memory import Cell, Slots

COUNTS = st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=64)


def records(*connections):
    """Return the records of workers with so many connections each."""
    slots = Slots()
    made = [slots.allocate(index=index, age=index, worker_class=1, slots=8) for index in range(len(connections))]
    for record, count in zip(made, connections, strict=True):
        record.cells[Cell.CONNECTIONS] = count
    return made


def shares(made):
    return [record.cells[Cell.SHARE] for record in made]


@pytest.mark.parametrize("connections", [[64.0], [36.0, 28.0], [0.0, 2.0], [3.0, 5.0], [10.0] * 8])
def test_connections_that_are_spread_evenly_enough_stay_where_they_are(connections):
    assert share(connections) == 0


def test_a_worker_that_has_them_all_keeps_its_share():
    assert share([64.0, 0.0]) == 32
    assert share([10.0, 0.0, 0.0]) == 4


@given(COUNTS)
def test_what_is_given_up_is_never_more_than_leaves_everyone_with_the_mean(connections):
    wanted = share(connections)
    if wanted:
        assert max(connections) > wanted >= sum(connections) / len(connections)
        assert wanted - 1 < sum(connections) / len(connections)


def test_nearly_all_connections_may_be_given_up_once_however_they_are_spread():
    balance, (only,) = Balance(), records(64)
    balance.look([only], 0.0)
    assert shares([only]) == [0]
    balance.give_up_nearly_all(1.0)
    seen = []
    for tenth in range(10, 40):
        balance.look([only], tenth / 10)
        seen += shares([only])

    assert seen == [1.0] * 15 + [0.0] * 15


def test_a_share_stands_for_longer_than_a_beat_and_then_everybody_has_time_to_settle():
    balance, uneven = Balance(), records(64, 0)
    seen = []
    for tenth in range(80):
        balance.look(uneven, tenth / 10)
        seen.append(shares(uneven)[0])
    assert seen[:15] == [32.0] * 15
    assert seen[15:30] == [0.0] * 15
    assert seen[30:45] == [32.0] * 15
    assert seen[45:] == [0.0] * 35, "nothing has helped: the pauses grow"


def test_once_connections_are_spread_no_share_stands():
    balance, workers = Balance(), records(64, 0)
    balance.look(workers, 0.0)
    workers[0].cells[Cell.CONNECTIONS] = workers[1].cells[Cell.CONNECTIONS] = 32
    balance.look(workers, 0.5)
    assert shares(workers) == [0.0, 0.0]


@pytest.mark.integration
@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "eventlet", "asgi"])
def test_kept_connections_spread_over_a_worker_that_has_come_later(launch, until, worker_class):
    server = launch()

    def configure(workers):
        fields = {"workerClass": worker_class, "workers": workers, "threads": 20, "workerConnections": 100}
        server.write(json.dumps(fields))
        until(lambda: server.active()[:2] == (worker_class, workers))
        until(lambda: server.settled(workers))

    configure(1)
    with server.load(16, query="?0.01") as load:
        until(lambda: server.metric("worker_connections", worker="0") >= 15)
        configure(2)
        until(lambda: all(5 <= server.metric("worker_connections", worker=each) <= 11 for each in "01"), 30)
        result = load.stop()
    assert result.failures == {}, result.examples
