from __future__ import annotations

import os
import sys

import pytest

from stablehand_bench.hazards import catalogue
from stablehand_bench.hazards.run import Servers
from stablehand_bench.tuner import contestants, placement
from stablehand_bench.tuner.durations import Durations
from stablehand_bench.tuner.measure import Place
from stablehand_bench.tuner.results import GRID, Key
from stablehand_tuner.contracts.settings import Settings, WorkerClass

pytestmark = pytest.mark.integration


def test_wrong_contents_of_a_server_under_load_are_seen_though_every_status_is_200(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    hazard = catalogue.BY_NAME["shared-buffer"]
    servers = Servers(Place(placement.here(), 1))
    settings = Settings(WorkerClass.GTHREAD, 1, threads=8)
    key = Key(GRID, hazard.name, "64 connections", contestants.static(settings), 1)
    with servers.services(hazard) as variables:
        cell = servers.static(hazard, key, settings, variables, Durations(warm_up=0, measured=1))

    assert cell.note == ""
    assert set(cell.failures) == {"content"}
    assert cell.failed > 0
    assert cell.requests > 0
