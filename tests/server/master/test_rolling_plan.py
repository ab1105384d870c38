from __future__ import annotations

import dataclasses
import random
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stablehand_server.master import rolling_plan
from stablehand_server.master.rolling_plan import LivingWorker, Plan
from stablehand_server.shared_memory import State

OLD, NEW = 1, 2
STATES = BOOTING, READY, RETIRING = State.BOOTING, State.READY, State.RETIRING


def worker(age, index, generation=NEW, state=READY, *, spent=False, long=False, kept=False, superseded=False):
    return LivingWorker(100 + age, index, generation, state, age, spent, long, kept, superseded)


def kept(age, index=0):
    return worker(age, index, OLD, RETIRING, kept=True)


def plan(living, *, workers, retire_limit=None, **known):
    staying = sum(each.state is not RETIRING for each in living)
    limit = max(staying, workers) if retire_limit is None else retire_limit
    return rolling_plan.plan(living, workers=workers, retire_limit=limit, **known)


def olds(count):
    return [worker(age, age, OLD) for age in range(count)]


def test_the_first_generation_boots_all_at_once():
    assert plan([], generation=NEW, workers=3, replaced=0) == Plan(spawn=(0, 1, 2))


def test_a_generation_that_is_all_there_needs_nothing():
    assert plan([worker(1, 0), worker(2, 1)], generation=NEW, workers=2, replaced=0) == Plan(complete=True)


def test_a_generation_whose_workers_boot_is_not_complete():
    living = [worker(1, 0), worker(2, 1, state=BOOTING)]

    assert plan(living, generation=NEW, workers=2, replaced=0) == Plan()


def test_a_new_worker_boots_beside_the_old_ones_before_any_of_them_goes():
    assert plan(olds(2), generation=NEW, workers=2, replaced=2) == Plan(spawn=(0,))


def test_while_a_new_worker_boots_nothing_else_happens():
    living = [*olds(2), worker(5, 0, state=BOOTING)]

    assert plan(living, generation=NEW, workers=2, replaced=2) == Plan()


def test_the_old_worker_of_the_index_retires_when_its_successor_is_ready():
    steps = plan([*olds(2), worker(5, 0)], generation=NEW, workers=2, replaced=2)

    assert steps.retire == (100,)


def test_retiring_workers_count_against_the_surge():
    living = [worker(0, 0, OLD, RETIRING), worker(1, 1, OLD), worker(5, 0)]

    assert plan(living, generation=NEW, workers=2, replaced=2) == Plan()


def test_a_switch_is_complete_when_the_last_old_worker_is_told_to_retire():
    living = [worker(1, 1, OLD), worker(5, 0), worker(6, 1)]

    assert plan(living, generation=NEW, workers=2, replaced=2) == Plan(retire=(101,), complete=True)


def test_one_new_worker_replaces_many_old_ones_only_when_it_is_ready():
    assert plan(olds(4), generation=NEW, workers=1, replaced=4) == Plan(spawn=(0,))
    steps = plan([*olds(4), worker(9, 0)], generation=NEW, workers=1, replaced=4)
    assert sorted(steps.retire) == [100, 101, 102, 103]
    assert steps.complete


def test_one_old_worker_stays_until_the_last_of_many_new_ones_is_ready():
    living = [*olds(1), worker(5, 0), worker(6, 1), worker(7, 2)]

    assert plan(living, generation=NEW, workers=4, replaced=1) == Plan(spawn=(3,))


def test_no_workers_at_all_are_complete_at_once_and_all_that_live_retire():
    assert plan([], generation=NEW, workers=0, replaced=0) == Plan(complete=True)
    old, own = olds(2), [worker(5, 0), worker(6, 1, state=BOOTING)]
    for living in (old, own):
        for surge in (0, 1):
            steps = plan(living, generation=NEW, workers=0, replaced=2, surge=surge)
            assert sorted(steps.retire) == sorted(each.pid for each in living)
            assert (steps.spawn, steps.complete) == ((), True)


def test_fewer_workers_retire_the_oldest_and_the_others_take_over_their_indexes():
    living = [worker(age, age) for age in range(4)]

    steps = plan(living, generation=NEW, workers=2, replaced=0)
    assert steps == Plan(retire=(100, 101), moves=((102, 0), (103, 1)), complete=True)


def test_who_has_an_index_within_the_number_keeps_it():
    living = [worker(1, 1), worker(2, 2), worker(3, 0)]

    steps = plan(living, generation=NEW, workers=2, replaced=0)
    assert steps == Plan(retire=(101,), moves=((102, 1),), complete=True)


def test_the_oldest_goes_only_when_a_newer_one_that_boots_is_ready():
    living = [worker(1, 0), worker(2, 1), worker(3, 2, state=BOOTING)]

    assert plan(living, generation=NEW, workers=2, replaced=0) == Plan(superseded=(101,))
    living = [worker(1, 0, superseded=True), worker(2, 1), worker(3, 2)]
    steps = plan(living, generation=NEW, workers=2, replaced=0)
    assert steps == Plan(retire=(101,), moves=((103, 0),), complete=True)


def test_a_worker_that_was_one_too_many_goes_also_if_more_are_wanted_meanwhile():
    living = [worker(1, 0, superseded=True), worker(2, 1), worker(3, 2, state=BOOTING)]

    assert plan(living, generation=NEW, workers=3, replaced=0) == Plan(spawn=(0,))
    living = [*living[:2], worker(3, 2), worker(4, 0)]
    assert plan(living, generation=NEW, workers=3, replaced=0) == Plan(retire=(101,), complete=True)


def test_of_workers_too_many_those_that_boot_go_at_once_for_they_serve_nobody():
    living = [worker(age, age, state=BOOTING) for age in range(4)]

    assert plan(living, generation=NEW, workers=2, replaced=0) == Plan(retire=(100, 101), moves=((102, 0), (103, 1)))


def test_where_memory_is_short_a_worker_too_many_does_not_keep_its_successor_from_booting():
    living = [worker(1, 0, superseded=True), worker(2, 1)]

    assert old_first(living, 2, 0).retire == (101,)


def test_more_workers_come_at_the_free_indexes_all_at_once():
    living = [worker(1, 0), worker(2, 2)]

    assert plan(living, generation=NEW, workers=4, replaced=0).spawn == (1, 3)


def test_a_rollback_ends_the_new_worker_that_boots_and_keeps_every_old_one():
    living = [*olds(2), worker(5, 0, state=BOOTING)]

    assert plan(living, generation=OLD, workers=2, replaced=0) == Plan(retire=(105,), complete=True)


def test_a_spent_worker_serves_until_its_successor_is_ready():
    spent = worker(1, 0, spent=True)

    assert plan([spent], generation=NEW, workers=1, replaced=0) == Plan(spawn=(0,), complete=True)
    booting = worker(2, 0, state=BOOTING)
    assert plan([spent, booting], generation=NEW, workers=1, replaced=0) == Plan(complete=True)
    ready = worker(2, 0)
    assert plan([spent, ready], generation=NEW, workers=1, replaced=0) == Plan(retire=(101,), complete=True)


def test_of_many_spent_workers_one_after_the_other_gets_a_successor():
    living = [worker(age, age, spent=True) for age in range(4)]

    assert plan(living, generation=NEW, workers=4, replaced=0).spawn == (0,)
    assert plan([*living, worker(9, 0, state=BOOTING)], generation=NEW, workers=4, replaced=0).spawn == ()


def test_a_worker_that_died_is_replaced_at_once_while_others_are_spent():
    living = [worker(1, 0, spent=True), worker(2, 1, state=RETIRING)]

    assert plan(living, generation=NEW, workers=3, replaced=0).spawn == (1, 2)


def test_with_too_many_workers_a_spent_one_beyond_the_number_just_goes():
    living = [worker(1, 0), worker(2, 1, spent=True)]

    assert plan(living, generation=NEW, workers=1, replaced=0) == Plan(retire=(102,), complete=True)


def old_first(living, workers, replaced):
    return plan(living, generation=NEW, workers=workers, replaced=replaced, surge=0)


def test_without_a_surge_one_old_worker_retires_before_its_successor_boots():
    assert old_first(olds(2), 2, 2) == Plan(retire=(100,))
    going = [worker(0, 0, OLD, RETIRING), worker(1, 1, OLD)]
    assert old_first(going, 2, 2) == Plan()
    assert old_first(going[1:], 2, 2) == Plan(spawn=(0,))
    assert old_first([*going[1:], worker(5, 0, state=BOOTING)], 2, 2) == Plan()
    assert old_first([*going[1:], worker(5, 0)], 2, 2) == Plan(retire=(101,))
    assert old_first([worker(5, 0)], 2, 2) == Plan(spawn=(1,))


def test_without_a_surge_even_the_only_worker_retires_and_its_successor_boots_after_its_exit():
    assert old_first(olds(1), 1, 1) == Plan(retire=(100,))
    assert old_first([worker(0, 0, OLD, RETIRING)], 1, 1) == Plan()
    assert old_first([], 1, 1) == Plan(spawn=(0,))


def test_without_a_surge_a_spent_worker_retires_first():
    spent = worker(1, 0, spent=True)

    assert old_first([spent], 1, 0) == Plan(retire=(101,), complete=True)
    assert old_first([worker(1, 0, state=RETIRING, spent=True)], 1, 0) == Plan()
    assert old_first([], 1, 0) == Plan(spawn=(0,))


def test_of_two_spent_workers_of_an_index_one_retires_at_once():
    living = [worker(1, 0, spent=True), worker(2, 0, spent=True)]

    assert plan(living, generation=NEW, workers=1, replaced=0).retire == (102,)


def test_a_process_that_is_kept_for_long_requests_does_not_hold_up_the_switch():
    living = [kept(0), worker(1, 1, OLD), worker(5, 0)]

    assert plan(living, generation=NEW, workers=2, replaced=2) == Plan(spawn=(1,))


def test_at_the_limit_of_retiring_processes_the_next_change_waits_and_everybody_serves_on():
    living = [kept(0), kept(1), *olds(4)[2:]]

    assert plan(living, generation=NEW, workers=2, replaced=2, retire_limit=2) == Plan(waits=True)
    assert plan(living, generation=NEW, workers=2, replaced=2, retire_limit=3) == Plan(spawn=(0,))


def test_at_the_limit_a_worker_that_died_is_replaced_all_the_same():
    assert plan([kept(0), kept(1), worker(5, 0)], generation=NEW, workers=2, replaced=0, retire_limit=2).spawn == (1,)
    mixed = [kept(0), worker(1, 1, OLD)]  # the new one at index 0 has died
    assert plan(mixed, generation=NEW, workers=2, replaced=2, retire_limit=1).spawn == (0,)


def test_at_the_limit_workers_too_many_serve_on_and_of_them_those_without_long_requests_go_first():
    living = [worker(0, 0), worker(1, 1, long=True), worker(2, 2), worker(3, 3, long=True)]

    steps = plan(living, generation=NEW, workers=1, replaced=0, retire_limit=2)
    assert steps.retire == (100, 102)
    assert not steps.complete
    assert steps.moves == ((103, 0),)
    gone = [living[1], worker(3, 0, long=True), kept(0), kept(2)]
    assert plan(gone, generation=NEW, workers=1, replaced=0, retire_limit=2) == Plan(waits=True)


def test_a_booting_worker_is_ended_even_at_the_limit_since_it_serves_no_requests():
    living = [worker(0, 0, OLD), kept(1), worker(5, 0, state=BOOTING)]

    assert plan(living, generation=OLD, workers=1, replaced=0, retire_limit=1).retire == (105,)


def test_with_a_surge_of_zero_no_worker_with_a_long_request_retires_first():
    busy, idle = worker(0, 0, OLD, long=True), worker(1, 1, OLD)

    assert old_first([busy, idle], 2, 2) == Plan(retire=(101,))
    assert old_first([busy], 1, 1) == Plan(waits=True)


def test_with_a_surge_of_zero_kept_processes_count_and_the_change_waits():
    assert old_first([kept(9), *olds(2)], 2, 2) == Plan(waits=True)
    assert old_first([kept(9), worker(1, 0)], 2, 0) == Plan(waits=True)


def test_with_a_surge_of_zero_a_worker_serves_even_if_the_last_one_never_exits():
    assert old_first([worker(0, 0, OLD, RETIRING)], 1, 1) == Plan()
    assert old_first([kept(0)], 1, 1) == Plan(spawn=(0,))


@pytest.mark.parametrize("workers", range(1, 65))
def test_a_switch_of_any_number_of_workers_comes_to_an_end(workers):
    machine = Machine(olds(workers), workers, random.Random(workers))  # noqa: S311 (no secret)
    for _ in range(20 * workers):
        if machine.take_step().complete:
            return
        machine.let_live()
    pytest.fail("the plan does not come to an end")


class Machine:
    """Carries plans out, and lets the workers' lives go on in any order; `lasting` is the share of endless requests."""

    lasting = 0.0

    def __init__(self, living, workers, random, surge=1):
        self.surge = surge
        self.living = {each.pid: each for each in living}
        self.workers = workers
        self.random = random
        self.replaced = sum(each.generation != NEW and each.state is READY for each in living)
        self.retire_limit = max(workers, len(living))
        self.age = max((each.age for each in living), default=0)

    def count(self, generation, state):
        """Count the workers of the wanted generation, or of all others, in a state."""
        return sum((each.generation == NEW) == (generation == NEW) and each.state is state for each in self.all())

    def all(self):
        """Return every process, retiring ones too."""
        return list(self.living.values())

    def retiring(self, *, kept=None):
        """Count those that retire."""
        return sum(each.state is RETIRING and kept in (None, each.kept) for each in self.all())

    def take_step(self):
        """Carry the plan's next step out, and check what it promises."""
        steps = plan(
            self.all(),
            generation=NEW,
            workers=self.workers,
            replaced=self.replaced,
            surge=self.surge,
            retire_limit=self.retire_limit,
        )
        had_old = any(each.generation != NEW and each.state is not RETIRING for each in self.all())
        served = self.count(NEW, READY) + self.count(OLD, READY)
        retired = self.retiring()
        going = sum(self.living[pid].state is READY for pid in steps.retire)
        assert going <= max(0, self.retire_limit - retired)
        for pid in steps.retire:
            assert self.living[pid].state is not RETIRING, "told to retire twice"
            ends = self.living[pid].state is BOOTING or self.random.random() >= self.lasting
            self.living[pid] = dataclasses.replace(self.living[pid], state=RETIRING, kept=not ends)
        for pid in steps.superseded:
            self.living[pid] = dataclasses.replace(self.living[pid], superseded=True)
        for pid, index in steps.moves:
            moved = self.living[pid] = dataclasses.replace(self.living[pid], index=index)
            same = [each for each in self.all() if (each.generation, each.index) == (NEW, index) and each.pid != pid]
            alike = [each for each in same if each.state is not RETIRING and each.spent == moved.spent]
            assert not alike, "two of an index, of which neither is to succeed the other"
        for index in steps.spawn:
            self.age += 1
            self.living[100 + self.age] = worker(self.age, index, state=BOOTING)
        assert set(steps.spawn) <= set(range(self.workers))
        if steps.spawn and had_old:
            assert self.count(NEW, BOOTING) == 1
            kept = self.retiring(kept=True) if self.surge else 0
            assert len(self.living) - kept <= max(self.replaced, self.workers) + self.surge
            short = served < min(self.replaced, self.workers)
            assert retired < self.retire_limit or short
        if steps.waits:
            assert self.retiring(kept=True) == self.retiring(), "waits for somebody who ends soon"
        if self.replaced:
            indexes = {each.index for each in self.all() if each.generation == NEW and each.state is READY}
            share = Fraction(len(indexes & set(range(self.workers))), self.workers)
            lent = 0 if self.surge else Fraction(1, min(self.replaced, self.workers))
            assert Fraction(self.count(OLD, READY), self.replaced) + share >= 1 - lent
        return steps

    def let_live(self, *, ending=False):
        """Let at least one worker that boots or retires go on; with `ending`, also one whose requests take long."""
        moving = [each for each in self.all() if each.state is not READY and (ending or not each.kept)]
        self.random.shuffle(moving)
        for each in moving[: self.random.randint(1, len(moving))] if moving else []:
            if each.state is BOOTING:
                self.living[each.pid] = dataclasses.replace(each, state=READY)
            else:
                del self.living[each.pid]


MIXES = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from([0, OLD, NEW]), st.sampled_from([BOOTING, READY, RETIRING]), st.booleans()
    ),
    max_size=10,
)
# A machine with much else to do generates slowly: that is no fault of the plan.
slowly = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)


def mixed(mix):
    return [
        worker(age, index, generation, state, spent=spent and state is not BOOTING)
        for age, (index, generation, state, spent) in enumerate(mix)
    ]


@slowly
@given(mix=MIXES, workers=st.integers(1, 8), surge=st.integers(0, 1), random=st.randoms(use_true_random=False))
def test_from_any_mix_of_workers_the_wanted_generation_comes_and_capacity_never_falls_below_the_old(
    mix, workers, surge, random
):
    machine = Machine(mixed(mix), workers, random, surge)
    for _ in range(200):
        if machine.take_step().complete:
            break
        machine.let_live()
    else:
        pytest.fail("the plan does not come to an end")
    for _ in range(200):
        machine.let_live()
        machine.take_step()

    assert machine.take_step() == Plan(complete=True)
    assert sorted(each.index for each in machine.all()) == list(range(workers))
    assert all(each.generation == NEW for each in machine.all())


@slowly
@given(
    mix=MIXES,
    workers=st.integers(1, 8),
    surge=st.integers(0, 1),
    retire_limit=st.integers(1, 4),
    random=st.randoms(use_true_random=False),
)
def test_endless_requests_leave_the_processes_bounded_and_the_change_follows_when_they_end(
    mix, workers, surge, retire_limit, random
):
    machine = Machine(mixed(mix), workers, random, surge)
    machine.retire_limit, machine.lasting = retire_limit, 0.5
    most = len(machine.living)
    for _ in range(60):
        steps = machine.take_step()
        bound = max(machine.replaced, workers) + 1 + max(retire_limit, most)  # those too that retire already
        assert len(machine.living) <= bound
        if steps.complete or steps.waits:
            break
        machine.let_live()
    else:
        pytest.fail("it neither comes to an end nor says that it waits")
    for _ in range(100):
        machine.let_live(ending=True)
        machine.take_step()

    assert machine.take_step() == Plan(complete=True)
    assert sorted(each.index for each in machine.all()) == list(range(workers))
