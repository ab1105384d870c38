"""Memory of a worker and of each request in flight."""

from __future__ import annotations

import json
import math

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.footprint import PRIOR_SHARE, Footprint, request_bytes
from stablehand_tuner.model.known import Known
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
FOUR = Settings(WorkerClass.GTHREAD, 1, 4)
MIB = 2**20


def learnt(make_observation, each, in_flight=(0.0, 1.0, 3.0, 4.0, 0.5, 2.0)):
    footprint = Footprint()
    for requests in in_flight:
        memory = 60 * MIB + each * requests
        seen = make_observation(
            settings=FOUR, busy_slots=requests, busy_seconds_total=15.0 * requests, worker_memory_bytes_mean=memory
        )
        footprint = footprint.add(seen, FOUR)
    return footprint


def test_what_a_request_holds_is_found_from_how_memory_follows_the_requests_in_flight(make_observation):
    assert learnt(make_observation, 20 * MIB).request_bytes == pytest.approx(20 * MIB, rel=0.001)
    assert learnt(make_observation, 0.0).request_bytes == pytest.approx(0.0, abs=1.0)
    assert learnt(make_observation, -MIB).request_bytes == 0.0, "no request gives memory back"


def test_a_number_of_requests_that_hardly_varies_shows_nothing(make_observation):
    assert learnt(make_observation, MIB, in_flight=(1.0, 1.1, 0.9, 1.0, 1.0, 1.05)).request_bytes is None
    assert learnt(make_observation, MIB, in_flight=(0.0, 4.0)).request_bytes is None
    blind = make_observation(worker_memory_bytes_mean=None)
    assert Footprint().add(blind, FOUR) == Footprint()


def test_a_scrape_before_which_the_number_of_requests_rose_teaches_nothing(make_observation):
    rising = make_observation(
        settings=FOUR, busy_slots=4.0, busy_seconds_total=15.0, worker_memory_bytes_mean=100.0 * MIB
    )

    assert Footprint().add(rising, FOUR) == Footprint()


def test_as_long_as_nothing_is_known_a_large_worker_is_taken_to_hold_it_for_its_requests(make_observation):
    small, large = (make_observation(worker_memory_bytes=size * MIB) for size in (32.0, 164.0))

    assert request_bytes(Footprint(), small, SYNC_1) == PRIOR_SHARE * 32 * MIB
    assert request_bytes(Footprint(), large, SYNC_1) == 100 * MIB


def test_growth_stops_where_the_requests_in_flight_would_fill_the_memory(make_observation):
    heavy = learnt(make_observation, 20 * MIB)
    seen = make_observation(memory_limit_bytes=1000.0 * MIB, worker_memory_bytes=80.0 * MIB)
    settings = model.propose(Policy(), seen, SYNC_1, Known(footprint=heavy)).settings
    in_use = (settings.workers + 1) * 80 * MIB + (settings.slots - settings.workers) * 20 * MIB

    assert settings.worker_class is WorkerClass.GTHREAD
    assert settings.slots > 16
    assert in_use <= 0.8 * 1000 * MIB


def test_where_memory_holds_no_more_the_settings_stay_and_the_message_names_memory(make_observation):
    current = Settings(WorkerClass.GTHREAD, 1, 8)
    heavy = learnt(make_observation, 50 * MIB)
    seen = make_observation(
        settings=current,
        busy_seconds_total=15.0 * 8,
        requests=1200.0,
        cpu_seconds_total=1.8,
        memory_limit_bytes=512.0 * MIB,
        worker_memory_bytes=460.0 * MIB,
    )
    proposal = model.propose(Policy(), seen, current, Known(footprint=heavy))

    assert (proposal.settings, proposal.reason) == (current, Reason.AT_BOUND)


def test_a_footprint_survives_its_json_and_a_corrupt_one_is_refused(make_observation):
    footprint = learnt(make_observation, MIB)

    assert Footprint.from_list(json.loads(json.dumps(footprint.to_list()))) == footprint
    for damaged in (["x"], [math.nan], [-1.0], [1.0] * 6, 3):
        with pytest.raises((ValueError, TypeError)):
            Footprint.from_list(damaged)
