"""For all tests: what a soak measured is kept."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SOAKS = pathlib.Path(__file__).parents[1] / "docs" / "soak"


@pytest.fixture
def record_soak(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Leaves what a soak measured in docs/soak/TEST.json; says nothing for a test that is no soak."""

    def record(**measured: Any) -> None:
        if request.node.get_closest_marker("soak") is None:
            return
        SOAKS.mkdir(exist_ok=True)
        name = request.node.originalname.removeprefix("test_")
        (SOAKS / f"{name}.json").write_text(json.dumps(measured, indent=2) + "\n")

    return record
