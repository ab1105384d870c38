"""The pure plan of a rolling switch: which workers to start and which to retire, given those that run.

A generation is what the workers of one configuration have in common. The new generation boots beside the old one with
a surge of one process; an old worker retires only when a new one is ready. Where memory does not suffice for that, the
surge is zero: an old worker retires first. The same plan starts the first generation, replaces a worker that died or
has served its number of requests, follows a changed number of workers, and rolls back: a rollback is a switch back.

A worker that retires runs for as long as its longest request takes, which is unknown. One with only idle connections
exits within seconds, and the next step waits for it. One that is kept longer no longer counts against the surge, or a
switch would never end; there is a limit on how many are kept, beyond which switches wait. No request is cut for it.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from stablehand_server.shared_memory import State

if TYPE_CHECKING:
    from collections.abc import Collection, Container


@dataclasses.dataclass(frozen=True)
class LivingWorker:
    """What the plan needs to know of a worker process; `age` grows with every spawn.

    `spent`: it has served its max_requests, or has a request that takes too long, and keeps serving until its successor
    is ready. `long`: one of its requests has already taken long.
    `kept`: it retires, and its requests take long. `superseded`: it is surplus, and serves only until a newer one is
    ready.
    """

    pid: int
    index: int
    generation: int
    state: State
    age: int
    spent: bool = False
    long: bool = False
    kept: bool = False
    superseded: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do now.

    `complete`: the wanted generation is complete and ready, and every other worker retires. `waits`: it is not, and no
    step is possible before a request has finished, because the number of processes is at its limit.
    """

    spawn: tuple[int, ...] = ()  # worker indexes
    retire: tuple[int, ...] = ()  # process ids
    superseded: tuple[int, ...] = ()  # process ids that are too many, and retire when newer ones are ready
    moves: tuple[tuple[int, int], ...] = ()  # process ids, and the index that each counts for from now on
    complete: bool = False
    waits: bool = False


def plan(
    living: Collection[LivingWorker],
    *,
    generation: int,
    workers: int,
    replaced: int,
    surge: Literal[0, 1] = 1,
    retire_limit: int,
) -> Plan:
    """Return the next step towards `workers` workers of a generation, at the indexes 0 to workers - 1.

    Args:
        living: all worker processes, including retiring ones.
        generation: the number of the wanted generation.
        workers: how many workers it should have; with 0, all workers retire.
        replaced: how many workers of other generations served when the switch began. The share of them that stays is
            the share of new ones that are not ready yet: no old capacity is removed before the new is there.
        surge: by how many the number of all processes, including those that exit soon, may exceed the larger
            generation: exceeding the memory limit kills. With 0, one old worker at a time retires before its successor
            boots; one with a long request does not, and those that are kept count too.
        retire_limit: how many processes may retire at once, at least one; at the limit no other is told to.
    """
    staying = [worker for worker in living if worker.state is not State.RETIRING]
    retiring = len(living) - len(staying)
    kept = sum(worker.kept for worker in living if worker.state is State.RETIRING)
    old = [worker for worker in staying if worker.generation != generation]
    own = [worker for worker in staying if worker.generation == generation]
    new, spent, surplus = _sorted_out(own, workers)
    ready = {index for index, worker in new.items() if worker.state is State.READY}
    relieved = [worker for worker in spent if worker.index in ready]
    waiting = [worker for worker in spent if worker.index not in ready]
    serving = ready.union(worker.index for worker in waiting)
    unhurried = all(worker.state is not State.BOOTING for worker in new.values())

    # Rounding a float could give one too many.
    keep = math.ceil(Fraction(replaced * (workers - len(serving)), workers)) if workers else 0
    to_come = workers - len(serving)
    if old:
        to_come = 0  # the old ones serve meanwhile
    elif not surge:
        to_come = min(to_come, len(new) - len(ready))  # what does not boot yet waits for their memory
    held = _held(surplus, to_come)
    # First those that serve nothing, then those that exit soon, those whose successor is ready, and the oldest.
    old.sort(key=lambda w: (w.state is not State.BOOTING, w.long, w.index not in ready, w.age))
    leaving = [worker for worker in surplus if worker not in held]
    retire = _within([*leaving, *relieved, *old[: max(0, len(old) - keep)]], retire_limit - retiring)
    going = {worker.pid for worker in retire}

    missing = [index for index in range(workers) if index not in new]
    gaps = [index for index in missing if index not in serving]
    if not old and gaps:  # no worker serves at these indexes: start all at once
        spawn = gaps if surge else gaps[: max(0, workers - len(living))]
        if not staying and retiring == kept and not spawn:
            spawn = gaps[:1]  # no worker serves and no memory will be free soon: exceeding it is the lesser harm
    else:
        most = max(replaced, workers) + surge
        room = most - (len(living) - kept if surge else len(living))
        allowed = retiring < retire_limit or len(staying) < min(replaced, workers)  # or one has died
        spawn = missing[:1] if unhurried and room > 0 and allowed else []
        if missing and unhurried and not spawn and not retire and not retiring and not surge:
            retire = [each for each in (*old, *waiting) if not each.long][:1]  # old first
    complete = len(serving) == workers and going.issuperset(worker.pid for worker in (*old, *surplus))
    return Plan(
        spawn=tuple(spawn),
        retire=tuple(worker.pid for worker in retire),
        superseded=tuple(worker.pid for worker in held if not worker.superseded),
        moves=_moves(own, (*new.values(), *spent), going),
        complete=complete,
        waits=not (complete or spawn or retire) and unhurried and retiring == kept,
    )


def _within(going: Collection[LivingWorker], room: int) -> list[LivingWorker]:
    """Return those that may be told to retire: all that serve nothing yet, and so many others, long ones last."""
    unserving = [worker for worker in going if worker.state is State.BOOTING]
    others = sorted((worker for worker in going if worker.state is not State.BOOTING), key=lambda w: w.long)
    return [*unserving, *others[: max(0, room)]]


def _held(surplus: Collection[LivingWorker], to_come: int) -> list[LivingWorker]:
    """Return the workers too many that serve on in the place of so many newer ones that are not ready."""
    serving = sorted((each for each in surplus if each.state is State.READY), key=lambda w: w.age)
    return serving[max(0, len(serving) - to_come) :]


def _sorted_out(
    wanted: Collection[LivingWorker], workers: int
) -> tuple[dict[int, LivingWorker], list[LivingWorker], list[LivingWorker]]:
    """Split the wanted generation's workers: the one to keep for each index, the spent ones, and the surplus.

    As under gunicorn, the oldest are the surplus: an operator replaces workers by asking for one more and then for one
    fewer. Those that stay have the indexes that they are to have, which may differ from their present ones.
    """
    new: dict[int, LivingWorker] = {}
    spent: dict[int, LivingWorker] = {}
    surplus: list[LivingWorker] = []
    for worker in sorted(wanted, key=lambda w: w.age):
        kept = spent if worker.spent else new
        if worker.superseded or worker.index in kept:
            surplus.append(worker)
        else:
            kept[worker.index] = worker
    # A spent one needs a successor if it stays, and none if it goes.
    newest_first = sorted(new, key=lambda index: -new[index].age)
    newest_first += sorted(spent.keys() - new.keys(), key=lambda index: -spent[index].age)
    stay = newest_first[:workers]
    surplus += [kept[index] for kept in (spent, new) for index in kept if index not in stay]
    surplus.sort(key=lambda w: w.age)
    free = iter(sorted(set(range(workers)).difference(stay)))
    indexes = {index: index if index < workers else next(free) for index in sorted(stay)}
    new = {to: dataclasses.replace(new[index], index=to) for index, to in indexes.items() if index in new}
    spent = {to: dataclasses.replace(spent[index], index=to) for index, to in indexes.items() if index in spent}
    return new, list(spent.values()), surplus


def _moves(
    present: Collection[LivingWorker], wanted: Collection[LivingWorker], going: Container[int]
) -> tuple[tuple[int, int], ...]:
    """Return who takes over which index: one beyond the number, when nobody who stays has it any longer."""
    now = {worker.pid: worker.index for worker in present}
    taken = {worker.index for worker in present if worker.pid not in going}
    return tuple((each.pid, each.index) for each in wanted if each.index != now[each.pid] and each.index not in taken)
