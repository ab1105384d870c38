from __future__ import annotations

import pytest

from stablehand_bench.tuner import grid
from stablehand_tuner.contracts.settings import Settings, WorkerClass


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("asgi", [True, False])
def test_no_settings_are_tried_twice_or_called_the_same(cores, quick, asgi):
    names = [grid.text(settings) for settings in grid.settings(cores, asgi=asgi, quick=quick)]

    assert len(set(names)) == len(names)


def test_the_grid_has_every_class_that_serves_wsgi():
    classes = {settings.worker_class for settings in grid.settings(2, asgi=False, quick=False)}

    assert classes == {WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI}


def test_the_grid_has_the_settings_that_were_the_best_by_hand():
    every = grid.settings(2, asgi=False, quick=False)

    assert Settings(WorkerClass.SYNC, 2) in every
    assert Settings(WorkerClass.GTHREAD, 2, threads=32) in every
    assert Settings(WorkerClass.GEVENT, 2) in every


def test_an_asgi_app_is_tried_under_asgi_alone():
    every = grid.settings(2, asgi=True, quick=False)

    assert {settings.worker_class for settings in every} == {WorkerClass.ASGI}


def test_threads_behind_a_bridge_are_part_of_a_name():
    assert grid.text(Settings(WorkerClass.ASGI, 2, threads=64)) == "asgi 2 × 64 threads"
    assert grid.text(Settings(WorkerClass.ASGI, 2)) == "asgi 2 × 1000"
