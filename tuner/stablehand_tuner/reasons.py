"""Stable codes for why the tuner decided as it did.

Dashboards, alerts and `docs/tuner.md` refer to them: a code is never renamed, and never means two things.
"""

from __future__ import annotations

import enum


class Reason(str, enum.Enum):
    """Why a decision was made; `meaning` explains it in one line."""

    meaning: str

    # hold: not tuning, or no basis for it
    MODE_OFF = "ModeOff", "spec.tuning.mode is Off: the tuner leaves the settings alone."
    NO_PODS = "NoPods", "The app has no pods, so there is nothing to observe."
    DATA_MISSING = "DataMissing", "Scrapes are missing; missing data counts as busy, so nothing is changed."
    STATE_DISCARDED = "StateDiscarded", "The stored state could not be read; the tuner started over."
    WARMING_UP = "WarmingUp", "Too little time or too few requests since the start to judge the app."
    COLLECTING = "Collecting", "The decision window is not full yet."
    TOO_FEW_REQUESTS = "TooFewRequests", "The window had too few requests to judge the app by."
    SETTINGS_DIFFER = "SettingsDiffer", "The pods do not all run one and the same settings yet."
    SETTINGS_CHANGED_OUTSIDE = (
        "SettingsChangedOutside",
        "The settings were changed from outside; the tuner starts observing again.",
    )
    FROZEN = "Frozen", "The tuner is frozen: no change begins."
    CLASS_NOT_TUNED = "ClassNotTuned", "The tuner does not tune this worker class."

    # hold: the model has no better settings, or it is no time to act
    WELL_TUNED = "WellTuned", "The settings already fit; the model's differ by less than the dead band."
    SATURATED = "Saturated", "The cores are busy: more concurrency would only make requests wait."
    HALF_UNUSED = "HalfUnused", "Less than half of the slots are in use, so the app does not grow."
    AT_BOUND = "AtBound", "The bounds, the allowed classes or the memory stop further growth."
    AT_CEILING = "AtCeiling", "More slots were tried, and did harm or served no more: that is remembered."
    SHRINK_WAITING = "ShrinkWaiting", "Fewer slots would be enough, but have not been for long enough."
    COOLING_DOWN = "CoolingDown", "A change was made recently; reversals make this wait longer."
    BUDGET_SPENT = "BudgetSpent", "As many changes as the policy allows began within the last hour."
    WORKER_TRIAL = "WorkerTrial", "One worker tries a change beside its siblings, which go on as before."
    TRIED_BEFORE = "TriedBefore", "The same was tried before, without harm but for nothing: each time it waits longer."
    CANARY_RUNNING = "CanaryRunning", "One pod tries a change; it is compared with its siblings."
    CLIMBING = "Climbing", "The slots grow step by step; each step runs until what it serves is known."
    TRIAL_RUNNING = "TrialRunning", "A change is on trial; it is compared with the time before."
    TRIAL_AGAIN = (
        "TrialAgain",
        "The settings before a change run once more, because the result of its trial was not clear.",
    )
    LONG_REQUESTS = (
        "LongRequests",
        "Workers that earlier changes replaced still serve long requests: changes that need processes wait.",
    )
    REFUSED_BEFORE = "RefusedBefore", "A server refused exactly these settings before."

    # recommend and apply
    WAITING_DOMINATES = "WaitingDominates", "Requests mostly wait, and demand exceeds the slots: more concurrency."
    EVENT_LOOP = (
        "EventLoop",
        "Requests mostly wait or are cheap: an event loop may serve them with less, and has to prove it.",
    )
    LOOP_BLOCKED = "LoopBlocked", "Something blocks the event loop: threads instead, which it cannot block."
    COMPUTE_BOUND = "ComputeBound", "Requests mostly compute: one process for each core, without threads."
    FEWER_SLOTS = (
        "FewerSlots",
        "Many requests share full cores: fewer slots may serve as many, sooner, and have to prove it.",
    )
    MORE_PROCESSES = "MoreProcesses", "A process fills its core while other cores are free: more processes."
    CROWDED_LOOP = (
        "CrowdedLoop",
        "Many requests at once in each event loop while cores are free: more processes, if they serve more.",
    )
    BACKLOG = "Backlog", "Connections queue up in the kernel: act without waiting for the window."
    FEWER_PROCESSES = "FewerProcesses", "Fewer processes are enough for the demand, and the objective is cost."
    LOW_DEMAND = "LowDemand", "Demand has long been far below the slots: fewer of them."
    MEMORY = "Memory", "The workers exceed their share of the memory: fewer processes at once."
    OUT_OF_BOUNDS = "OutOfBounds", "The settings break the policy's bounds or classes: move inside."
    CLASS_UNSUITED = "ClassUnsuited", "The app cannot be served by the class that runs: another one takes its place."
    LOAD_CHANGED = "LoadChanged", "A change is applied again: the settings before it did no better at the same load."

    SHARED_CEILING = "SharedCeiling", "All pods together exceed a known ceiling: each gets fewer slots at once."

    # the steps of a climb
    NEXT_STEP = "NextStep", "The last step of a climb did no harm: at most twice as many slots."
    STEP_BACK = "StepBack", "The last step of a climb did harm or served no more: the step before it, or one between."

    # the canary and the trial
    CANARY_PASSED = "CanaryPassed", "The canary did no worse than its siblings: every pod gets its settings."
    CANARY_UNDECIDED = "CanaryUndecided", "The canary ended without a clear result, and its settings need one."
    CANARY_LOST = "CanaryLost", "The canary, or every sibling to compare it with, is gone."
    TRIAL_PASSED = "TrialPassed", "The change helped, or did no harm: it stays."
    TRIAL_THROUGHPUT = "TrialThroughput", "Throughput fell clearly at the same or higher demand."
    TRIAL_LATENCY = "TrialLatency", "The slowest requests became clearly slower without a gain."
    TRIAL_ERRORS = "TrialErrors", "Errors rose clearly after the change."
    TRIAL_CPU = "TrialCpu", "A request costs clearly more CPU without a gain."
    TRIAL_LAG = "TrialLag", "Something blocks the event loop of the new workers."
    TRIAL_MEMORY = "TrialMemory", "The new workers exceed the memory, or were killed for it."
    TRIAL_NO_GAIN = "TrialNoGain", "More slots served no more, though requests waited for them."
    TRIAL_UNCLEAR = "TrialUnclear", "The change may cost a little: the settings before run again to find out."
    TRIAL_CONFIRMED = "TrialConfirmed", "The settings before a change, run once more, do better: they stay."
    TRIAL_ANSWERS = "TrialAnswers", "Answers of the worker on trial are of kinds that were rare before, such as 401."
    TRIAL_UNSERVED = "TrialUnserved", "Requests went into the worker on trial, and none of them finished."
    TRIAL_DIED = "TrialDied", "The process of the worker on trial ended."
    WORKER_TRIAL_UNDECIDED = (
        "WorkerTrialUndecided",
        "The trial on one worker showed too little, or the server did not run it to its end: it is tried again later.",
    )
    SERVER_REFUSED = "ServerRefused", "A server refused the settings, or rolled them back."
    APPLY_TIMED_OUT = "ApplyTimedOut", "Not every server ran the settings in time."

    def __new__(cls, value: str, meaning: str) -> Reason:  # noqa: PYI034 (Self is Python 3.11's)
        """Make the member: its value is the code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    def __str__(self) -> str:
        """Return the code."""
        return str(self.value)
