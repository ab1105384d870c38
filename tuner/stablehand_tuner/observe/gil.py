"""How much of a request computes, when requests in one process also wait for each other.

A Python process computes on one core at a time. While several requests share it, part of what looks like waiting is
waiting for the interpreter's lock (the GIL, or gevent's one hub), which no counter shows. But it can be derived from
how busy the process is: l requests that alternate between computing for C, one at a time, and waiting for W are the
machine repairman model (M/M/1//l), in which the processor is idle with the probability of Erlang's loss formula:
1 - u = B(l, W ÷ C). So W ÷ C follows from l and u.
"""

from __future__ import annotations

import math

MOST_REQUESTS = 256  # beyond, the formula differs from "no waiting at the processor" by less than a window's noise
FULL = 0.97  # beyond, how busy the process is no longer shows how much requests wait
_STEPS = 40


def share_without_gil_wait(in_app: float, utilization: float) -> float:
    """Return the CPU share that explains how busy a process with some requests in flight is.

    Args:
        in_app: mean requests inside the app in one process (l).
        utilization: cores that the process uses (u), 0 to 1.

    Returns:
        C ÷ (C + W), 0 to 1. It is exact where there are always as many requests in flight; with pauses between requests
        it is too low: use it as a lower bound beside the share by wall time.
    """
    # rounded up, because more requests explain the same utilization with more waiting: it stays a lower bound
    requests = min(MOST_REQUESTS, max(1, math.ceil(in_app - 0.05)))
    if utilization <= 0:
        return 0.0
    utilization = min(FULL, utilization)
    idle = 1.0 - utilization
    # B rises with the offered load, so bisect for W ÷ C
    lowest, highest = 0.0, requests / utilization
    for _ in range(_STEPS):
        middle = (lowest + highest) / 2
        if erlang_b(requests, middle) < idle:
            lowest = middle
        else:
            highest = middle
    return 1.0 / (1.0 + lowest)


def erlang_b(servers: int, load: float) -> float:
    """Return Erlang's loss probability for a number of servers and an offered load, by its stable recursion."""
    if load <= 0:
        return 0.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked
