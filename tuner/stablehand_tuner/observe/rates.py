"""What is derived from the sums of an observation: rates, Little's law, quantiles."""

from __future__ import annotations

import dataclasses
import math

from stablehand_tuner.observe import histogram


@dataclasses.dataclass(frozen=True)
class Rates:
    """The sums of an observation over `seconds` and `pods`, and the rates derived from them; see `Observation`."""

    seconds: float
    pods: float
    requests: float
    errors: float
    busy_seconds_total: float
    cpu_seconds_total: float
    run_delay_seconds_total: float
    queued_seconds_total: float
    throttled_seconds_total: float
    duration_buckets: histogram.Buckets
    busy_slots: float
    slots: float
    backlog: float

    @property
    def requests_per_second(self) -> float:
        """Finished requests per second (X)."""
        return self.requests / self.seconds

    @property
    def errors_per_second(self) -> float:
        """Requests per second that ended in a 5xx or without a response."""
        return self.errors / self.seconds

    @property
    def error_share(self) -> float:
        """Errors among the requests, 0 to 1; 0 without requests."""
        return min(1.0, self.errors / self.requests) if self.requests else 0.0

    @property
    def in_app(self) -> float:
        """Mean number of requests inside the app (L), by Little's law: busy seconds ÷ seconds."""
        return self.busy_seconds_total / self.seconds

    @property
    def mean_seconds(self) -> float | None:
        """Mean wall seconds of a request inside the app (S = L ÷ X); None without requests."""
        return self.busy_seconds_total / self.requests if self.requests else None

    @property
    def cpu_seconds_per_request(self) -> float | None:
        """Mean CPU seconds of a request, with the server's own share and that of child processes (C), or None."""
        return self.cpu_seconds_total / self.requests if self.requests else None

    @property
    def run_delay_per_request(self) -> float | None:
        """Mean seconds for which a request was runnable, but waited for a core (D); None without requests."""
        return self.run_delay_seconds_total / self.requests if self.requests else None

    @property
    def cpu_share(self) -> float | None:
        """How much of a request is computing, 0 to 1: C ÷ (S - D); None without requests.

        D is subtracted because waiting for a core looks like waiting for something else; it counts
        every thread of the process, so S - D can fall below C: then the share is 1.
        """
        if not self.requests:
            return None
        undisturbed = self.busy_seconds_total - self.run_delay_seconds_total
        if undisturbed <= self.cpu_seconds_total:
            return 1.0
        return max(0.0, self.cpu_seconds_total / undisturbed)

    @property
    def queued(self) -> float:
        """Mean number of requests that a worker accepted, but that are not yet inside the app."""
        return self.queued_seconds_total / self.seconds

    @property
    def waiting(self) -> float:
        """Requests that wait for a slot, in the kernel or in the workers.

        The larger of the two and not their sum: where a proxy sets X-Request-Start, the time in the kernel's queue is
        in the server's queue time as well.
        """
        return max(self.backlog, self.queued)

    @property
    def demand(self) -> float:
        """How many requests would be inside the app at once: those that are, and those that wait for a slot."""
        return self.in_app + self.waiting

    @property
    def response_seconds(self) -> float | None:
        """Mean seconds of a request from its wait for a slot to its end (demand ÷ X); None without requests."""
        return self.demand / self.requests_per_second if self.requests else None

    @property
    def cores_used(self) -> float:
        """CPU seconds of the workers, and of the processes that the app has started, per second."""
        return self.cpu_seconds_total / self.seconds

    @property
    def cores_awaited(self) -> float:
        """Mean number of the workers' threads that could run, but wait for a core."""
        return self.run_delay_seconds_total / self.seconds

    @property
    def throttled_share(self) -> float:
        """Share of the time for which the cgroup was throttled, 0 to 1, mean over the pods."""
        return min(1.0, self.throttled_seconds_total / (self.seconds * self.pods))

    @property
    def p50_seconds(self) -> float | None:
        """Median of the time inside the app, interpolated; None without requests."""
        return histogram.quantile(self.duration_buckets, 0.5)

    @property
    def p99_seconds(self) -> float | None:
        """99th percentile of the time inside the app, interpolated; None without requests."""
        return histogram.quantile(self.duration_buckets, 0.99)

    @property
    def relative_error(self) -> float:
        """How far the means may be off: two standard errors, as a share of the mean; 1 at most.

        The times are assumed to be exponentially distributed, which is a wide spread for one kind of request.
        """
        return min(1.0, 2 / math.sqrt(self.requests)) if self.requests else 1.0
