"""A pytest plugin: what may fail or skip, and why, is listed; whatever else fails or skips is a fault.

A listed test that passes is a fault too, and so is one that is not there: the list stays true.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIST = Path(os.environ.get("SUITE_EXCEPTIONS") or Path(__file__).parents[1] / "exceptions.yaml")
_listed: dict[str, dict[str, str]] = yaml.safe_load(_LIST.read_text())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect the listed tests to fail, strictly, and leave out those that race."""
    failing, racing = _listed["failing"], _listed["racing"]
    names = {item: {item.nodeid, item.nodeid.rpartition("::")[0]} for item in items}  # a test's, and its class's
    collected = set[str]().union(*names.values())
    files = {name.partition("::")[0] for name in collected}
    missing = [each for each in (*failing, *racing) if each not in collected and each.partition("::")[0] in files]
    if missing and not any("::" in argument for argument in config.args):  # single tests may be asked for
        raise pytest.UsageError(f"{_LIST.name} lists tests that do not exist: {', '.join(missing)}")
    for item in items:
        if item.nodeid in failing:
            item.add_marker(pytest.mark.xfail(strict=True, reason=failing[item.nodeid].strip()))
    left_out = [item for item in items if names[item] & racing.keys()]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Fail a test that skips for a reason that is not listed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _judge_skip(item.nodeid, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    """Fail a whole file that skips for a reason that is not listed."""
    report = yield
    if report.skipped:
        _judge_skip(collector.nodeid, report)
    return report


def _judge_skip(name: str, report: Any) -> None:
    reason = str(report.longrepr)
    if not any(part in reason for part in _listed["skipping"]):
        report.outcome = "failed"
        report.longrepr = f"{name} skips for a reason that {_LIST.name} does not list: {reason}"
