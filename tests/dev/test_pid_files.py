from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.cluster.one_node import pid_files
from stablehand_dev.cluster.one_node.pid_files import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_a_process_is_recognised_by_its_pid_file(bystander: subprocess.Popen[bytes], tmp_path: Path):
    pid_files.write(tmp_path / "p.json", identity_of(bystander))

    assert pid_files.read(tmp_path / "p.json") == identity_of(bystander)


def test_killing_ends_the_process_that_is_meant(bystander: subprocess.Popen[bytes]):
    identity_of(bystander).kill()

    assert bystander.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another boot"}])
def test_a_process_that_merely_has_the_same_pid_is_not_killed(
    bystander: subprocess.Popen[bytes], change: dict[str, object]
):
    earlier = dataclasses.replace(identity_of(bystander), **change)

    earlier.kill()

    assert not earlier.alive()
    assert bystander.poll() is None


def test_a_process_that_has_ended_is_not_alive_even_before_anybody_waited_for_it():
    process = subprocess.Popen(["true"])
    identity = ProcessIdentity.of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    try:
        assert identity is None or not identity.alive()
    finally:
        process.wait()


def test_killing_what_has_ended_does_nothing(bystander: subprocess.Popen[bytes]):
    identity = identity_of(bystander)
    bystander.kill()
    bystander.wait()

    identity.kill()

    assert not identity.alive()


@pytest.mark.parametrize("content", ["", "17", "{", '{"pid": 17}', '{"pid": 1, "started": 1, "boot": "b", "more": 1}'])
def test_a_corrupt_pid_file_names_no_process(tmp_path: Path, content: str):
    (tmp_path / "p.json").write_text(content, encoding="ascii")

    assert pid_files.read(tmp_path / "p.json") is None


def test_a_missing_pid_file_names_no_process(tmp_path: Path):
    assert pid_files.read(tmp_path / "p.json") is None


def test_children_are_found(bystander: subprocess.Popen[bytes]):
    assert bystander.pid in pid_files.children(os.getpid())
