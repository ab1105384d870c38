"""What `make` promises to whoever has just cloned the repository."""

from __future__ import annotations

import subprocess

import pytest

from stablehand_dev.paths import REPOSITORY


@pytest.mark.parametrize("target", ["test-integration", "test-e2e", "soak"])
def test_the_programs_that_tests_need_are_built_before_a_test_with_a_time_limit_asks_for_them(target):
    planned = subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    tools, tests = planned.stdout.find("cluster tools"), planned.stdout.find("pytest -m")
    assert 0 <= tools < tests, planned.stdout


def test_a_missing_python_is_reported_and_is_not_a_failure():
    done = subprocess.run(
        [REPOSITORY / "scripts" / "test-pythons", "3.1"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "not found: 3.1;" in done.stdout


def test_every_supported_python_that_is_found_is_tested_by_a_target_of_its_own():
    command = ["make", "--dry-run", "test-pythons"]
    planned = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "scripts/test-pythons" in planned.stdout
