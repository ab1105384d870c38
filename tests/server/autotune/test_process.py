from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from stablehand_tuner.contracts.settings import Settings

pytestmark = pytest.mark.integration

MASTER = """
import os, sys, signal
from pathlib import Path
from stablehand_server.autotune import policy, tuning

assert "prometheus_client" not in sys.modules
allowed, _ = policy.from_environment()
if os.fork() == 0:
    address = ("127.0.0.1", int(sys.argv[1]))
    tuning.run(address, Path(sys.argv[2]), Path(sys.argv[3]), allowed, app="app", parent_pid=os.getppid())
    os.write(1, b"ended in peace")
    os._exit(0)
signal.pause()
"""
POLICY = '{"windows": {"warmUpSeconds": 0, "warmUpRequests": 0, "decisionSeconds": 1, "trialSeconds": 1}}'


def test_the_tuner_of_a_real_process_tunes_logs_and_ends_with_its_master(fake, address, tmp_path):
    settings, log = tmp_path / "settings.json", tmp_path / "log"
    with log.open("wb") as output:
        master = subprocess.Popen(
            [sys.executable, "-c", MASTER, str(address[1]), str(settings), str(tmp_path / "state.json")],
            stdout=output,
            stderr=output,
            env={**os.environ, "STABLEHAND_AUTOTUNE_POLICY": POLICY},
        )
    try:
        serve_until(fake, settings, lambda: " keep gthread " in log.read_text())
    finally:
        os.kill(master.pid, signal.SIGKILL)
        master.wait()
    serve_until(fake, settings, lambda: "ended in peace" in log.read_text())

    assert fake.settings.worker_class == "gthread"
    lines = log.read_text().splitlines()
    assert all("[INFO] autotune: " in line for line in lines[:-1])
    assert sum(" apply gthread " in line and "[NextStep]" not in line for line in lines) == 1


def serve_until(fake, settings, condition):
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        if settings.is_file():
            fake.settings = Settings.from_json(settings.read_text())
        time.sleep(0.05)
        fake.pass_time(0.05)
