"""Our workers as gunicorn's unit tests use them: made without an arbiter, and run without a boot."""

from __future__ import annotations

import os
from typing import Any

from suite_arbiter import assignment


def placed(worker_class: type[Any]) -> type[Any]:
    """Return a worker class of ours that finds a place by itself; elsewhere the arbiter gives it one."""

    class Placed(worker_class):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"assignment": assignment(), **kwargs})

        def run(self) -> None:
            if self.PIPE:
                super().run()
                return
            self.PIPE = os.pipe()  # what init_process() does before
            try:
                super().run()
            finally:
                for end in self.PIPE:
                    os.close(end)

    Placed.__name__ = Placed.__qualname__ = worker_class.__name__
    return Placed
