"""A PostgreSQL of the bench's own: a cluster in a temporary folder, on a free port of loopback, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import processes
from stablehand_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEBIAN = Path("/usr/lib/postgresql")
_UNPRIVILEGED = ("postgres", "nobody")
_START_SECONDS = 60.0
_END_SECONDS = 10.0
# A hundred connections are 100 processes, but nothing here needs memory or a safe disk.
_SETTINGS = ("fsync=off", "shared_buffers=16MB", "superuser_reserved_connections=0", "autovacuum=off")


def programs() -> Path:
    """Return the folder of initdb and postgres.

    Raises:
        BenchError: when PostgreSQL is not installed.
    """
    found = shutil.which("postgres")
    if found is not None and Path(found).with_name("initdb").exists():
        return Path(found).parent
    installed = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not installed:
        raise BenchError("PostgreSQL is missing: install it (on Debian: apt-get install postgresql)")
    return installed[-1].parent


@contextlib.contextmanager
def running(max_connections: int) -> Iterator[str]:
    """Start a database that accepts so many connections; yield how a client reaches it.

    Raises:
        BenchError: when it is not installed, or does not start.
    """
    folder = programs()
    user = _user()
    (port,) = processes.free_ports(1)
    with tempfile.TemporaryDirectory(prefix="stablehand-bench-") as name:
        data = Path(name) / "data"
        data.mkdir()
        if user is not None:
            for directory in (Path(name), data):
                os.chown(directory, user.pw_uid, user.pw_gid)
        initialise = [str(folder / "initdb"), "--no-sync", "--auth=trust", "--username=bench", f"--pgdata={data}"]
        made = subprocess.run(initialise, cwd=name, capture_output=True, text=True, check=False, **_as(user))
        if made.returncode:
            raise BenchError(f"initdb ended with status {made.returncode}: {made.stderr}")
        options = [*_SETTINGS, f"max_connections={max_connections}", f"port={port}", "listen_addresses=127.0.0.1"]
        options.append(f"unix_socket_directories={name}")
        command = [str(folder / "postgres"), "-D", str(data)]
        for option in options:
            command += ["-c", option]
        with (data / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=name, stdout=log, stderr=log, start_new_session=True, **_as(user))
        try:
            _await(server, port, data)
            yield f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        finally:
            _end(server)


def _user() -> pwd.struct_passwd | None:
    """Return who may run it in root's place: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise BenchError(f"PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)}")


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _await(server: subprocess.Popen[bytes], port: int, data: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(data, port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"PostgreSQL did not start:\n{(data / 'log').read_text()[-2000:]}")
        time.sleep(0.05)


def _is_ready(data: Path, port: int) -> bool:
    """Return whether it has said so: the last line of its file of the process."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[3] == str(port) and lines[7].strip() == "ready"  # noqa: PLR2004 (its eight lines)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
    try:
        server.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
