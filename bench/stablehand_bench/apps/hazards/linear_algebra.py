"""numpy multiplies matrices with threads of its own, one for each core: a second process takes the cores of the first.

The threads are started by the first request, and the process that starts them is the only one to have them.
"""

from __future__ import annotations

import numpy as np

from stablehand_bench.apps.hazards.page import page

_SIZE = 400
_matrix = np.random.default_rng(1).random((_SIZE, _SIZE))


def _multiply() -> None:
    _matrix @ _matrix


app = page(_multiply)
