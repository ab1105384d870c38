"""For all tests: long ones come first, examples are the same everywhere, and what a soak measured is kept."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SOAKS = pathlib.Path(__file__).parents[1] / "docs" / "soak"

# How long an example takes is no property, and a shared machine is slow at times; the same examples every time.
hypothesis.settings.register_profile(
    "everywhere", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("everywhere")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that say that they take long, so that no process is left alone with one in the end."""
    items.sort(key=_timeout, reverse=True)


def _timeout(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0


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
