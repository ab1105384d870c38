from __future__ import annotations

import logging

import pytest
from gunicorn.config import Config

from stablehand_server.master import generation as generations
from stablehand_server.master.switching import Switching
from stablehand_tuner.contracts.settings import Settings

LOG = logging.getLogger(__name__)
GTHREAD = Settings("gthread", 2, 8, 500)


def generation(settings, number=1):
    return generations.from_settings(Config(), settings, number, "a file", LOG)


@pytest.fixture
def serving():
    """A server whose first generation, gthread 2 × 8, is all there."""
    switching = Switching(generation(GTHREAD))
    switching.complete()
    return switching


def test_until_the_first_generation_is_all_there_nothing_serves_and_nothing_can_be_undone():
    switching = Switching(generation(GTHREAD))

    assert not switching.settled
    assert switching.undo() is None
    switching.complete()
    assert switching.settled


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        (Settings("gthread", 5, 8, 500), 1),
        (Settings("gthread", 2, 16, 900), 1),
        (Settings("gthread", 2, 4, 100), 1),
        (Settings("tornado", 2, 1, 100), 2),
        (Settings("sync", 2), 2),
    ],
)
def test_only_what_the_processes_cannot_take_up_needs_new_ones(serving, wanted, number):
    assert serving.number_for(wanted) == number


def test_going_back_to_what_still_serves_needs_no_third_generation(serving):
    serving.begin(generation(Settings("sync", 2), 2), replaced=2)

    assert serving.number_for(GTHREAD) == 1
    assert serving.number_for(Settings("sync", 3)) == 2
    assert serving.number_for(Settings("gevent", 1)) == 3


def test_a_number_is_never_given_twice(serving):
    serving.begin(generation(Settings("sync", 2), 2), replaced=2)
    serving.undo()

    assert serving.number_for(Settings("gevent", 1)) == 3


def test_the_number_that_a_trial_has_had_is_given_to_nobody_else(serving):
    number = serving.take_number()

    assert number == serving.target.number + 1
    assert serving.next_number == number + 1
    assert serving.take_number() == number + 1


def test_a_rolled_back_switch_has_the_former_target_and_replaces_no_worker(serving):
    former = serving.target
    serving.begin(generation(Settings("sync", 2), 2), replaced=2)

    assert serving.undo() is former
    assert serving.settled
    assert serving.replaced == 0
    assert serving.undo() is None


def test_an_undone_change_in_place_has_all_former_settings(serving):
    serving.begin(generation(Settings("gthread", 6, 16, 500), 1), replaced=0)

    assert serving.undo().settings == GTHREAD
    assert serving.settled


def test_the_same_settings_are_no_news_but_another_number_of_workers_always_is(serving):
    assert serving.is_wanted_already(generation(GTHREAD, 1))
    assert not serving.is_wanted_already(generation(Settings("gthread", 3, 8, 500), 1))
    custom = Config()
    custom.set("workers", 1000)
    by_flags = generations.from_configuration(custom, 1, LOG)
    assert not Switching(by_flags).is_wanted_already(by_flags.with_workers(999))
