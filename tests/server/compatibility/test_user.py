"""--user and --group: whatever runs beside the workers has no more rights than they have."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import socket
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may become somebody else"),
]

NOBODY = "65534"
AS_NOBODY = ("--user", NOBODY, "--group", NOBODY)
PROBE_WAITS = """
import time
from stablehand_server.master import class_probe

def probe(slots):
    time.sleep(30)

class_probe.probe = probe
"""


@pytest.fixture
def port():
    """A port for the metrics below 1024, which only the superuser may take."""
    for number in random.sample(range(600, 1024), 20):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number
    raise AssertionError("all of them are taken")


def metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def identity(pid):
    """Return a process's user ids, group ids and supplementary groups."""
    status = Path(f"/proc/{pid}/status").read_text()
    return [re.search(rf"^{name}:\t(.*)$", status, re.MULTILINE)[1].split() for name in ("Uid", "Gid", "Groups")]


@pytest.mark.parametrize("flags", [AS_NOBODY, ("--user", NOBODY), (*AS_NOBODY, "--initgroups")])
def test_exporter_tuner_and_probe_are_what_the_workers_are_and_still_read_their_memory(
    run, until, running, *, port, flags
):
    own = (*flags, "--metrics-bind", f"127.0.0.1:{port}", "--autotune", "--preload")
    program = run(*own, files={"gunicorn.conf.py": PROBE_WAITS})
    until(program.get)
    # PSS: a new worker's is read a few seconds later where it was read before it had become somebody else
    until(lambda: "stablehand_worker_proportional_memory_bytes{" in metrics(port))
    until(lambda: len(running(program)) == 5)
    until(lambda: len({str(identity(pid)) for pid in running(program) if pid != program.process.pid}) == 1)

    (worker,) = re.findall(r"Booting worker with pid: (\d+)", program.log())
    users, _, _ = identity(worker)
    assert set(users) == {NOBODY}
    until(lambda: "autotune: hold: warming up" in program.log())


def test_the_private_folder_of_the_tuner_is_its_users_and_gone_when_the_server_has_ended(run, until, tmp_path):
    tmp_path.chmod(0o711)
    place = tmp_path / "place"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    environment = {**os.environ, "TMPDIR": str(place)}
    ends = {"TERM": signal.SIGTERM, "INT": signal.SIGINT}
    for number in ends.values():
        program = run(*AS_NOBODY, "--autotune", "--metrics-bind", "auto", "--preload", env=environment).ready()
        (folder,) = place.iterdir()
        assert folder.stat().st_uid == int(NOBODY)
        assert "cannot be written" not in program.log()
        program.process.send_signal(number)
        assert program.process.wait(timeout=20) == 0
        assert not list(place.iterdir())
    # One that is killed leaves it to the next.
    program = run(*AS_NOBODY, "--autotune", "--metrics-bind", "auto", "--preload", env=environment).ready()
    (left,) = place.iterdir()
    program.process.kill()
    program.process.wait()
    until(lambda: not program.get())
    another = run(*AS_NOBODY, "--autotune", "--metrics-bind", "auto", "--preload", env=environment).ready()
    until(lambda: left not in set(place.iterdir()))
    assert len(list(place.iterdir())) == 1
    assert another.get()


def test_a_settings_file_that_the_tuners_user_cannot_write_is_told_at_the_start(run, until, tmp_path):
    settings = tmp_path / "settings.json"
    program = run(
        *AS_NOBODY, "--autotune", "--metrics-bind", "auto", "--preload", "--settings-file", str(settings)
    ).ready()

    until(lambda: f"{settings} cannot be written (by user {NOBODY}, group {NOBODY})" in program.log())
