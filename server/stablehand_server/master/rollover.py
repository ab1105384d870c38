"""Moves from the running workers to those of the wanted generation, step by step, and back if they do not boot.

Each pass of gunicorn's main loop asks the plan (`rolling_plan`) for the next step towards the wanted generation
(`switching`), and takes it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from stablehand_server.gunicorn_internals.master import HaltServer
from stablehand_server.linux import procfs
from stablehand_server.master import lifecycle
from stablehand_server.master.rolling_plan import LivingWorker, Plan, plan
from stablehand_server.master.supervisor import Supervisor
from stablehand_server.shared_memory import Cell, Server, State

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_server.master.generation import Generation
    from stablehand_server.master.supervisor import Ending
    from stablehand_server.workers.common.base import MeasuredWorker

_BOOTS_BEFORE_GIVING_UP = 5  # of a server that has served, and has no worker left


class Rollover(Supervisor):
    """Runs the workers of one generation, and rolls over to another without a failed request; a subclass names it."""

    def __init__(self, app: Any) -> None:
        self.paused = False  # no workers are wanted at present
        self.waits = False  # the change continues when long requests have finished
        self.counts_change = True  # as a switch, once it is complete; a trial counts by itself
        super().__init__(app)

    # Generations ------------------------------------------------------------------------------------------------------

    def switch_to(self, wanted: Generation, *, anew: bool = False) -> None:
        """Set the wanted generation; with `anew` even if it is no different from the target."""
        self.write_settings(Server.DESIRED, wanted)
        if not anew and self._switching.is_wanted_already(wanted):
            return
        # A worker may have become ready since the last pass: a failed change goes back to it.
        self.note_first_heartbeats()
        if not self._switching.settled and self._plan().complete:
            self.switched()
        self.log.info("Switching from %s to %s, as %s says", self._switching.target, wanted, wanted.origin)
        workers = self.WORKERS.values()
        replaced = sum(lifecycle.state(w) is State.READY and w.assignment.generation != wanted.number for w in workers)
        self.counts_change = True
        self.begin_change(wanted, replaced=replaced)

    def begin_change(self, wanted: Generation, *, replaced: int) -> None:
        """Make a generation the target, and tell the processes that it already has."""
        self.write_settings(Server.DESIRED, wanted)
        self._switching.begin(wanted, replaced=replaced)
        self.note_wanted(wanted.workers)
        self._tell_sizes(wanted)
        self._respawning.reset()
        self._memory.forget()

    def _tell_sizes(self, wanted: Generation) -> None:
        """Tell the workers of a generation how many threads and connections to have, which they adopt while serving."""
        for worker in self.WORKERS.values():
            if worker.assignment.generation == wanted.number:
                cells, config = worker.assignment.record.cells, wanted.config
                cells[Cell.THREADS], cells[Cell.WORKER_CONNECTIONS] = config.threads, config.worker_connections

    def switched(self) -> None:
        """Note that the target is complete."""
        first, target = self._switching.serving is None, self._switching.target
        self._switching.complete()
        self._respawning.succeeded()
        self._memory.forget()
        self.cfg = target.config
        self.slots.server[Server.GENERATION] += 1.0
        self.write_settings(Server.ACTIVE, target)
        if not first and self.counts_change:
            self.slots.count_switch("done")
        self.log.info("Serving with %s", target)

    def rolled_back(self, failed: Generation, serving: Generation) -> None:
        """Undo what a failed change has changed apart from the workers."""

    def _roll_back(self, why: str) -> None:
        failed, serving = self._switching.target, self._switching.undo()
        if serving is None:
            return
        self.slots.count_switch("rolled_back")
        self.log.error("%s did not boot, back to %s: %s", failed, serving, why)
        self.rolled_back(failed, serving)
        self._memory.forget()
        self.cfg, self.worker_class = serving.config, serving.worker_class
        self.note_wanted(serving.workers)
        self._tell_sizes(serving)

    # Workers ----------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Take one step from the running workers towards those that are wanted."""
        self.note_first_heartbeats()
        self.note_untold_retirements()
        self._carry_out(self._plan())

    def note_first_heartbeats(self) -> None:
        """Note which workers have become ready since the last call."""
        for pid, worker in self.WORKERS.items():
            if lifecycle.note_first_heartbeat(worker):
                self._respawning.succeeded()
                self.log.debug("Worker %s (pid:%s) is ready", lifecycle.index(worker), pid)

    def _plan(self) -> Plan:
        workers = self.living()
        if self.paused:
            return Plan(retire=tuple(each.pid for each in workers if each.state is not State.RETIRING))
        surge: Literal[0, 1] = 1
        if not self._switching.settled or self.replaces(workers):
            surge = self._memory.surge([each.pid for each in workers if each.state is not State.BOOTING])
        else:
            self._memory.forget()
        target = self._switching.target
        return plan(
            workers,
            generation=target.number,
            workers=self.workers_of_target(),
            replaced=self.workers_replaced(workers),
            surge=surge,
            retire_limit=self.retire_limit(workers),
        )

    def replaces(self, workers: Collection[LivingWorker]) -> bool:
        """Return whether some worker is to be replaced although no switch is in progress."""
        return any(each.spent for each in workers)

    def workers_of_target(self) -> int:
        """Return how many workers of the target are wanted at present."""
        return self._switching.target.workers

    def workers_replaced(self, workers: Collection[LivingWorker]) -> int:  # noqa: ARG002 (a subclass looks at them)
        """Return how many workers of other generations served when their replacement began."""
        return self._switching.replaced

    def living(self) -> list[LivingWorker]:
        """Return the workers as the plan represents them."""
        return lifecycle.living(self.WORKERS)

    def retire_limit(self, workers: Collection[LivingWorker]) -> int:
        """Return how many processes may retire at once."""
        staying = sum(each.state is not State.RETIRING for each in workers)
        return int(self.cfg.retire_limit) or max(1, staying, self._switching.target.workers)

    def _carry_out(self, steps: Plan) -> None:
        for pid in steps.retire:
            self.retire_worker(pid)
        for pid in steps.superseded:
            self.WORKERS[pid].superseded = True
        for pid, index in steps.moves:
            used = procfs.process_times(pid)
            user, system = (used.user_seconds, used.system_seconds) if used else (0.0, 0.0)
            self.slots.move(self.WORKERS[pid].assignment.record, index, cpu_user=user, cpu_system=system)
        if self._respawning.over(time.monotonic()) and not self._stopping:
            for index in steps.spawn:
                self.spawn_worker(index)
        if steps.complete and not self._switching.settled:
            self.switched()
        self._note_waiting(steps.waits)

    def _note_waiting(self, waits: bool) -> None:  # noqa: FBT001 (what it is called with is its name)
        if waits and not self.waits:
            retiring = sum(lifecycle.state(each) is State.RETIRING for each in self.WORKERS.values())
            self.log.warning(
                "The change to %s waits for requests that take long: %d processes retire, beside %d that serve; "
                "--retire-limit and the memory allow no more",
                self._switching.target,
                retiring,
                len(self.WORKERS) - retiring,
            )
        self.waits = waits

    def worker_ended(self, worker: MeasuredWorker, ending: Ending) -> None:
        """Roll back a switch whose worker did not boot, or retry it with more memory, or boot another worker later."""
        switching = self._switching
        again = ending.reason == "oom" and not switching.settled and self._memory.note_exceeded()
        if worker.ready or worker.retiring_since is not None or self._stopping:
            return
        if switching.serving is not None and not switching.settled:
            if worker.assignment.generation == switching.target.number and not again:
                self._roll_back(ending.why)
            return
        pauses = self._respawning.failed(now := time.monotonic())
        serves = any(lifecycle.state(each) is State.READY for each in self.WORKERS.values())
        tries = 1 if switching.serving is None else _BOOTS_BEFORE_GIVING_UP
        if ending.boot_error is not None and not serves and self._respawning.failures >= tries:
            raise HaltServer(f"No worker serves, and none boots: {ending.why}", ending.boot_error)
        if pauses:
            seconds = self._respawning.left(now)
            self.log.warning("A worker did not boot: %s; the next boot is tried in %.0f s", ending.why, seconds)
