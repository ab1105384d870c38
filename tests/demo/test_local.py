"""`make local`: the whole of it, on this machine."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stablehand_dev.demo import local
from stablehand_dev.demo.watching import watch

pytestmark = pytest.mark.integration


def test_the_waiting_app_ends_at_ten_times_its_throughput_without_a_failed_request():
    console = Console(file=io.StringIO(), width=200)
    with local.running() as server:
        figures = watch(console, server.url, server.read, quiet=4, longest=60, every=0.5)
    assert figures.whole.failed == 0, figures.whole.examples
    assert figures.gain >= 10
    assert figures.last != figures.first
