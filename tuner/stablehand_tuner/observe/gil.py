"""How much of a request computes, when requests in one process also wait for each other.

A Python process computes on one core at a time. While several requests share it, part of what looks like waiting is
waiting for the interpreter's lock (the GIL, or gevent's one hub), which no counter tells. But it follows from how busy
the process is: l requests that each compute C and wait W in turn, one at a time at the processor, are the machine
repairman's model (M/M/1//l), and there the processor idles with the probability of Erlang's loss formula:
1 - u = B(l, W ÷ C). So from l and u follows W ÷ C.
"""

from __future__ import annotations

import math

MOST_REQUESTS = 256  # beyond, the formula differs from "no waiting at the processor" by less than a window's noise
FULL = 0.97  # beyond, how much waits cannot be told from how busy the process is: every number in flight looks alike
_STEPS = 40


def share_without_gil_wait(in_app: float, utilization: float) -> float:
    """Return the CPU share that explains a process with so many requests in flight, burning so many cores.

    Args:
        in_app: mean requests inside the app in one process (l).
        utilization: cores that the process burns (u), 0 to 1.

    Returns:
        C ÷ (C + W), 0 to 1. It is right where the process is busy throughout; with pauses between the requests it is
        too low: use it as a lower bound beside what the wall time says.
    """
    # rounded up, because more requests explain the same utilization with more waiting: it stays a lower bound
    requests = min(MOST_REQUESTS, max(1, math.ceil(in_app - 0.05)))
    if utilization <= 0:
        return 0.0
    utilization = min(FULL, utilization)
    idle = 1.0 - utilization
    # B rises with the load that is offered, so halve the interval in which W ÷ C lies
    lowest, highest = 0.0, requests / utilization
    for _ in range(_STEPS):
        middle = (lowest + highest) / 2
        if erlang_b(requests, middle) < idle:
            lowest = middle
        else:
            highest = middle
    return 1.0 / (1.0 + lowest)


def erlang_b(servers: int, load: float) -> float:
    """Return Erlang's loss probability for so many servers and an offered load, by its stable recursion."""
    if load <= 0:
        return 0.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked
