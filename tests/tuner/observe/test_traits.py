from __future__ import annotations

import dataclasses
import json

import pytest

from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.observation import Observation, observe
from stablehand_tuner.observe.snapshot import Snapshot
from stablehand_tuner.observe.traits import NO_TRAITS, Traits

TRAITS = Traits(
    patched_by=frozenset({"gevent"}),
    imported_early=frozenset({"urllib3", "other"}),
    runs=frozenset({"threads", "event_loop"}),
)
SAMPLES = [
    ("stablehand_app_patched_info", {"library": "gevent"}, 1.0),
    ("stablehand_app_patched_info", {"library": "eventlet"}, 0.0),
    ("stablehand_imported_early_info", {"module": "urllib3"}, 1.0),
    ("stablehand_imported_early_info", {"module": "other"}, 1.0),
    ("stablehand_app_runs_info", {"what": "threads"}, 1.0),
    ("stablehand_app_runs_info", {"what": "event_loop"}, 1.0),
]


def test_what_a_scrape_says_of_the_app_is_observed(samples):
    earlier = Snapshot.from_samples(samples, 0.0)
    later = Snapshot.from_samples([*samples, *SAMPLES], 5.0)

    assert observe(earlier, later).traits == TRAITS
    assert observe(later, earlier.__class__.from_samples(samples, 9.0)).traits == NO_TRAITS


def test_an_observation_keeps_its_traits_in_the_stored_state(make_observation):
    seen = make_observation(traits=TRAITS)

    assert Observation.from_mapping(json.loads(json.dumps(seen.to_mapping()))) == seen


def test_an_observation_of_an_earlier_version_has_none(make_observation):
    fields = make_observation().to_mapping()
    del fields["traits"]

    assert Observation.from_mapping(fields).traits == NO_TRAITS


def test_traits_of_another_version_are_read_as_far_as_they_are_known():
    assert Traits.from_mapping({"patched_by": ["gevent"], "dances": ["tango"]}) == Traits(frozenset({"gevent"}))
    with pytest.raises(TypeError):
        Traits.from_mapping({"patched_by": 3})


def test_the_whole_app_has_the_traits_that_any_pod_shows(make_observation):
    one = make_observation(traits=Traits(patched_by=frozenset({"gevent"}), runs=frozenset({"threads"})))
    other = make_observation(traits=dataclasses.replace(TRAITS, patched_by=frozenset(), runs=frozenset({"event_loop"})))

    assert aggregation.combine([one, other]).traits == TRAITS
