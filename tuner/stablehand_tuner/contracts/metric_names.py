"""Contract 2: the metrics that a server exposes.

The exporter builds its families from this registry, the tuner reads a scrape by these names, and the dashboard and the
documentation are generated from them: a metric is named in this file and nowhere else.

Names follow the conventions of Prometheus: base units, `_total` for counters. `worker` is a stable index 0..N-1, never
a process id, so that the number of series stays bounded over any number of respawns. Counters survive a worker's death
and a switch of generation; they fall only when the server itself restarts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """One metric family of the contract.

    `name` is the family's name without the `_total` of a counter's sample; `sample_name` has it.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def sample_name(self) -> str:
        """The name of the family's sample in an exposition (for a histogram, of the family)."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


# One worker
WORKER_INFO = Metric("stablehand_worker_info", "gauge", "1 for the worker's class.", ("worker", "worker_class"))
WORKER_SLOTS = Metric("stablehand_worker_slots", "gauge", "Requests that the worker can serve at once.", ("worker",))
WORKER_BUSY_SLOTS = Metric("stablehand_worker_busy_slots", "gauge", "Requests inside the app now.", ("worker",))
WORKER_CONNECTIONS = Metric("stablehand_worker_connections", "gauge", "Open client connections.", ("worker",))
WORKER_REQUESTS = Metric(
    "stablehand_worker_requests", "counter", "Finished requests by class of status.", ("worker", "code")
)
WORKER_BUSY_SECONDS = Metric(
    "stablehand_worker_busy_seconds", "counter", "Wall seconds inside the app, summed over requests.", ("worker",)
)
WORKER_CPU_SECONDS = Metric("stablehand_worker_cpu_seconds", "counter", "Process CPU seconds.", ("worker", "mode"))
WORKER_RUN_DELAY_SECONDS = Metric(
    "stablehand_worker_run_delay_seconds", "counter", "Seconds runnable, but waiting for a core.", ("worker",)
)
WORKER_CHILDREN_CPU_SECONDS = Metric(
    "stablehand_worker_children_cpu_seconds",
    "counter",
    "CPU seconds of the processes that the app has started.",
    ("worker",),
)
WORKER_LAG_SECONDS = Metric(
    "stablehand_worker_lag_seconds", "gauge", "How late the worker's periodic timer fired last.", ("worker",)
)
WORKER_OLDEST_REQUEST_SECONDS = Metric(
    "stablehand_worker_oldest_request_seconds", "gauge", "Age of the oldest request inside the app.", ("worker",)
)
WORKER_RESIDENT_MEMORY_BYTES = Metric(
    "stablehand_worker_resident_memory_bytes", "gauge", "Resident memory (RSS).", ("worker",)
)
WORKER_PROPORTIONAL_MEMORY_BYTES = Metric(
    "stablehand_worker_proportional_memory_bytes", "gauge", "Memory with shared pages divided (PSS).", ("worker",)
)
WORKER_POOL_SIZE = Metric(
    "stablehand_worker_pool_size", "gauge", "Connections that the app's pool can give.", ("worker", "library")
)
WORKER_POOL_IN_USE = Metric(
    "stablehand_worker_pool_in_use", "gauge", "Connections of the app's pool that are in use.", ("worker", "library")
)
WORKER_POOL_WAITING = Metric(
    "stablehand_worker_pool_waiting", "gauge", "Requests that wait for a connection.", ("worker", "library")
)

# The whole server
WORKER_EXITS = Metric("stablehand_worker_exits", "counter", "Workers that ended, by reason.", ("reason",))
WORKERS = Metric("stablehand_workers", "gauge", "Workers by state.", ("state",))
RETIRE_LIMIT = Metric(
    "stablehand_retire_limit", "gauge", "Processes that may retire at once, beyond which the next change waits."
)
REQUEST_DURATION_SECONDS = Metric(
    "stablehand_request_duration_seconds", "histogram", "Time inside the app, all workers."
)
REQUEST_QUEUE_SECONDS = Metric(
    "stablehand_request_queue_seconds", "histogram", "Time accepted, but not yet inside the app."
)
RESPONSES = Metric(
    "stablehand_responses",
    "counter",
    "Responses with a status that tells one app from another that is broken, all workers.",
    ("status",),
)
RESPONSE_BODY_BYTES = Metric(
    "stablehand_response_body_bytes", "histogram", "Size of successful (2xx) WSGI responses, all workers."
)
LISTEN_BACKLOG = Metric("stablehand_listen_backlog", "gauge", "Connections that wait in the kernel.")
LISTEN_BACKLOG_LIMIT = Metric("stablehand_listen_backlog_limit", "gauge", "Connections that may wait in the kernel.")

# Settings and generations
SETTING = Metric("stablehand_setting", "gauge", "The settings in numbers, desired and active.", ("name", "kind"))
SETTING_WORKER_CLASS_INFO = Metric(
    "stablehand_setting_worker_class_info",
    "gauge",
    "1 for the worker class, desired and active.",
    ("worker_class", "kind"),
)
AVAILABLE_WORKER_CLASS_INFO = Metric(
    "stablehand_available_worker_class_info", "gauge", "1 for each worker class that imports here.", ("worker_class",)
)
GENERATION = Metric("stablehand_generation", "gauge", "Counts the settings that this server has run.")
GENERATION_SWITCHES = Metric(
    "stablehand_generation_switches", "counter", "Changes of settings by outcome.", ("outcome",)
)
SETTINGS_REFUSED = Metric(
    "stablehand_settings_refused", "gauge", "1 while the newest settings are refused, or were rolled back, else 0."
)

# A trial: what one worker runs instead of what all run
TRIALS = Metric("stablehand_trials", "counter", "Trials that ended, by outcome.", ("outcome",))
TRIAL_ID = Metric("stablehand_trial_id", "gauge", "The id of the trial that runs, or ran last; 0 before the first.")
TRIAL_STATE = Metric(
    "stablehand_trial_state", "gauge", "1 for the state of the trial with that id, else 0.", ("state",)
)
WORKER_ON_TRIAL = Metric(
    "stablehand_worker_on_trial", "gauge", "1 for a worker that runs what is on trial, else 0.", ("worker",)
)

# What the machine gives
CPU_LIMIT_CORES = Metric("stablehand_cpu_limit_cores", "gauge", "Cores that the cgroup grants; absent without a limit.")
MEMORY_LIMIT_BYTES = Metric(
    "stablehand_memory_limit_bytes", "gauge", "Memory that the cgroup grants; absent without a limit."
)
CPU_COUNT = Metric("stablehand_cpu_count", "gauge", "Cores that the server may run on, limit or not.")
GIL_ENABLED = Metric(
    "stablehand_gil_enabled", "gauge", "1 where a process computes on one core at a time, 0 in a free-threaded build."
)
CPU_THROTTLED_SECONDS = Metric(
    "stablehand_cpu_throttled_seconds", "counter", "Seconds for which the cgroup was throttled."
)
BLOCKING_MODULE_INFO = Metric(
    "stablehand_blocking_module_info",
    "gauge",
    "1 for each loaded module that gevent cannot make cooperative.",
    ("module",),
)

# What the app is like, whatever its load: found by the workers
APP_PATCHED_INFO = Metric(
    "stablehand_app_patched_info",
    "gauge",
    "1 for each library with which the app itself has replaced Python's threads.",
    ("library",),
)
IMPORTED_EARLY_INFO = Metric(
    "stablehand_imported_early_info",
    "gauge",
    "1 for each package that the master has imported, and that keeps what gevent could have replaced.",
    ("module",),
)
APP_RUNS_INFO = Metric(
    "stablehand_app_runs_info", "gauge", "1 for each kind of thing that the app runs besides its requests.", ("what",)
)

# From the operator
TUNER_DECISIONS = Metric("stablehand_tuner_decisions", "counter", "Decisions of the tuner.", ("action", "reason"))

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

# The values that label `reason` of WORKER_EXITS, `state` of WORKERS and TRIAL_STATE, `kind` of the settings, `outcome`
# of GENERATION_SWITCHES and TRIALS, `code` of WORKER_REQUESTS and `status` of RESPONSES can take: fixed, so that every
# series is there from the start.
EXIT_REASONS = ("retired", "max_requests", "timeout", "oom", "signal", "boot_failure", "error")
WORKER_STATES = ("booting", "ready", "retiring")
SETTING_KINDS = ("desired", "active")
SWITCH_OUTCOMES = ("done", "rolled_back", "rejected")
# confirmed: all run what was on trial; withdrawn: something else was asked for; expired: nobody confirmed it in time;
# failed, changed, unshared, late, unserved: its guard ended it; died: its worker's process ended; boot_failure: that
# did not boot; not_started: the server had just started, or could not start it.
TRIAL_OUTCOMES = (
    "confirmed",
    "withdrawn",
    "expired",
    "failed",
    "changed",
    "unshared",
    "late",
    "unserved",
    "died",
    "boot_failure",
    "not_started",
)
TRIAL_STATES = ("booting", "running", *TRIAL_OUTCOMES)
STATUS_CODES = ("1xx", "2xx", "3xx", "4xx", "5xx", "error")
# What an app answers, where it used to say 2xx, when a request meets a process that lacks its session or its object, or
# when requests get in each other's way.
NOTED_STATUSES = ("401", "403", "404", "409", "429")

# The values that `library` of APP_PATCHED_INFO, `module` of IMPORTED_EARLY_INFO and `what` of APP_RUNS_INFO can take.
PATCHING_LIBRARIES = ("gevent", "eventlet")
EARLY_PACKAGES = ("urllib3", "requests", "httpx", "aiohttp", "botocore", "grpc", "pymongo", "redis", "kombu", "other")
# threads, and among them a scheduler; child processes; asyncio's event loop in requests, and one that is run often;
# database connections that each thread keeps; handlers of a timer's signals that requests set
APP_RUNS = (
    "threads",
    "scheduler",
    "child_processes",
    "event_loop",
    "lasting_event_loop",
    "persistent_connections",
    "timer_signals",
)
# The values that `library` of WORKER_POOL_SIZE and its like can take.
POOL_LIBRARIES = ("sqlalchemy", "psycopg_pool")

DEFAULT_METRICS_PORT = 9464

# Buckets in seconds: those of OpenTelemetry's http.server.request.duration, whose users' dashboards expect them, and
# between them as many as it takes to tell tails apart that differ by a quarter.
DURATION_BUCKETS = (
    *(0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008),
    *(0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075, 0.09),
    *(0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9),
    *(1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5),
    10.0,
)

# Buckets in bytes: what a page shrinks or grows to when it goes wrong is seldom within a factor of two.
BODY_BUCKETS = tuple(float(2**power) for power in range(3, 25))
