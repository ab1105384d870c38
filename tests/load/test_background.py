"""Load in a process of its own, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from stablehand_dev.load import BackgroundLoad, Load, LoadProcessFailed
from stablehand_dev.load.background import arguments

pytestmark = pytest.mark.integration


def test_a_background_load_is_watched_while_it_runs_and_stopped_with_its_result(url_in_thread: str):
    with BackgroundLoad(Load(url_in_thread, connections=2, duration=60)) as load:
        deadline = time.monotonic() + 20
        while not load.series and time.monotonic() < deadline:
            time.sleep(0.05)
        assert load.last().completed > 0
        result = load.stop()
    assert result.failed == 0
    assert result.completed >= sum(second.completed for second in load.series)
    assert not load.running


def test_a_load_that_is_bounded_by_requests_ends_by_itself(url_in_thread: str):
    with BackgroundLoad(Load(url_in_thread, connections=2, requests=50)) as load:
        result = load.wait()
    assert result.completed == 50
    assert load.stop() is result


def test_leaving_a_background_load_leaves_no_process(url_in_thread: str):
    with BackgroundLoad(Load(url_in_thread, connections=1, duration=60)) as load:
        assert load.running
    assert not load.running


def test_a_load_that_cannot_start_says_why():
    with (
        BackgroundLoad(Load("http://name.invalid/", connections=1, requests=1)) as load,
        pytest.raises(LoadProcessFailed, match=r"name\.invalid"),
    ):
        load.wait()


def test_the_child_ends_when_its_parent_is_gone(url_in_thread: str):
    command = [sys.executable, "-m", "stablehand_dev.load", url_in_thread, "-c", "1", "-d", "60", "--stream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        child.stdin.close()  # as the kernel does for a parent that dies
        assert child.wait(timeout=20) == 0


def test_the_command_prints_json_and_fails_when_a_request_failed(url_in_thread: str):
    command = [sys.executable, "-m", "stablehand_dev.load"]
    good = subprocess.run(
        [*command, *arguments(Load(url_in_thread, connections=1, requests=5)), "--json"],
        check=True,
        capture_output=True,
    )
    assert json.loads(good.stdout)["completed"] == 5
    wrong = subprocess.run([*command, "ftp://nowhere/"], check=False, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "url" in wrong.stderr
