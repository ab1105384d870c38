"""Simulated pods under load: the tuner's test bench, and what `stablehand tune simulate` runs.

`cluster` simulates every request as discrete events; `fluid` computes the same from formulas, a thousand times faster.
docs/simulator.md describes what is in the model, what is not, and how well the two agree.
"""

from __future__ import annotations

from stablehand_simulator.app import App, Kind, Machine
from stablehand_simulator.cluster import Balancer, Cluster
from stablehand_simulator.pod import Pod

__all__ = ["App", "Balancer", "Cluster", "Kind", "Machine", "Pod"]
