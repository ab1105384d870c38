from __future__ import annotations

import pytest

COLUMN = "sync"
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # the first test waits for the whole run


def test_a_case_ends_as_on_gunicorn_or_as_is_explained(case_name, agrees):
    agrees(case_name)
