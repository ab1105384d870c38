"""One run a column, of the cases that are selected; each test looks at the outcome of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import conformance.cases  # noqa: F401 (declares them)
from conformance.case import CASES
from conformance.columns import COLUMNS
from conformance.differences import complaint, listed
from conformance.running import FAILED, run_column

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each case that suits the module's column."""
    if "case_name" in metafunc.fixturenames:
        metafunc.parametrize(
            "case_name", [name for name, case in CASES.items() if metafunc.module.COLUMN in case.columns]
        )


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Run the selected cases of the module's column on both servers."""
    selected = {
        item.callspec.params["case_name"]
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    }
    cases = [case for name, case in CASES.items() if name in selected]
    return run_column(COLUMNS[request.module.COLUMN], cases, tmp_path_factory.mktemp(request.module.COLUMN))


@pytest.fixture
def agrees(request, outcomes) -> Callable[[str], None]:
    """Fail unless a case ended as on gunicorn, or as the list of differences says."""
    column = request.module.COLUMN

    def check(name: str) -> None:
        if name not in outcomes:
            pytest.skip("needs root")
        outcome = outcomes[name]
        assert FAILED not in outcome.gunicorn, outcome.gunicorn
        assert FAILED not in outcome.ours, outcome.ours
        said = complaint(name, column, outcome, listed())
        assert not said, f"{name} under {column} {said}\n  gunicorn: {outcome.gunicorn}\n  ours:     {outcome.ours}"

    return check
