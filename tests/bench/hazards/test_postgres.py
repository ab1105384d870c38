from __future__ import annotations

import socket

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.hazards import postgres


def test_a_missing_database_is_an_error_that_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres.shutil, "which", lambda _name: None)
    monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
    with pytest.raises(BenchError, match="apt-get install postgresql"):
        postgres.programs()


def test_of_several_installed_versions_the_newest_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres.shutil, "which", lambda _name: None)
    monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
    for version in ("9", "15"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()

    assert postgres.programs() == tmp_path / "15" / "bin"


@pytest.mark.integration
def test_a_database_accepts_connections_within_the_block_and_is_gone_behind_it():
    try:
        postgres.programs()
    except BenchError as missing:
        pytest.skip(str(missing))
    with postgres.running(3) as where:
        told = dict(part.split("=") for part in where.split())
        address = (told["host"], int(told["port"]))
        socket.create_connection(address, timeout=5).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
