from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from stablehand_dev import commands
from stablehand_dev.cluster import debian, lifecycle
from stablehand_dev.cluster.choice import Wish
from stablehand_dev.cluster.cli import app
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.errors import CommandFailedError, DevelopmentError, MissingPrerequisiteError
from stablehand_dev.images import provision
from stablehand_dev.images.build_arguments import build_arguments

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def own_run_dir(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    monkeypatch.setattr(lifecycle, "run_dir", lambda: directory)
    return directory


@pytest.fixture
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "STABLEHAND_CLUSTER", "STABLEHAND_REGISTRY"):
        monkeypatch.delenv(name, raising=False)


def test_a_failed_command_reports_its_output():
    with pytest.raises(CommandFailedError, match="status 3:\nno such thing"):
        commands.run([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_a_program_that_is_not_there_is_a_missing_prerequisite():
    with pytest.raises(MissingPrerequisiteError, match="surely-not-there"):
        commands.run(["surely-not-there"])


def test_a_long_commands_error_names_and_quotes_its_log(tmp_path: Path):
    log = tmp_path / "logs" / "build.log"

    with pytest.raises(CommandFailedError, match=r"build\.log(.|\n)*it broke"):
        commands.run_logged([sys.executable, "-c", "print('it broke'); raise SystemExit(1)"], log)


def test_an_import_of_the_command_loads_no_subcommand():
    program = "import sys, stablehand_dev.cli; print([m for m in sys.modules if m.startswith('stablehand_dev.')])"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "stablehand_dev.cluster" not in loaded
    assert "stablehand_dev.demo" not in loaded


def test_a_cluster_of_the_users_own_is_only_forgotten(
    own_run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    theirs = Cluster(tmp_path / "theirs", "existing", "context")
    lifecycle._remember(theirs)
    assert lifecycle.current() == theirs
    removed: list[str] = []
    monkeypatch.setattr(lifecycle.one_node, "down", lambda: removed.append("one-node"))
    monkeypatch.setattr(lifecycle.kind, "down", lambda: removed.append("kind"))

    lifecycle.down()

    assert lifecycle.current() is None
    assert removed == []
    assert not own_run_dir.exists()


def test_a_cluster_that_is_up_is_not_forgotten_for_another_one(
    own_run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ours = Cluster(own_run_dir / "kubeconfig", "one-node")
    lifecycle._remember(ours)
    theirs = tmp_path / "theirs"
    theirs.touch()
    monkeypatch.setattr(Cluster, "kubectl", lambda *_args, **_options: "ok")

    with pytest.raises(DevelopmentError, match="take it down first"):
        lifecycle.up(Wish(theirs, None, "existing"))

    assert lifecycle.current() == ours


@pytest.mark.usefixtures("no_surroundings", "own_run_dir")
def test_a_cluster_that_the_user_named_stays_the_choice_until_it_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    theirs = tmp_path / "theirs"
    theirs.touch()
    monkeypatch.setattr(Cluster, "kubectl", lambda *_args, **_options: "ok")
    named = lifecycle.up(Wish(theirs, "their-context", "existing"))

    assert lifecycle.up() == named == Cluster(theirs, "existing", "their-context")


def test_a_corrupt_record_of_the_cluster_is_an_error_that_says_what_to_delete(own_run_dir: Path):
    own_run_dir.mkdir()
    (own_run_dir / "cluster.json").write_text("{", encoding="utf-8")

    with pytest.raises(DevelopmentError, match=r"cluster\.json is corrupt"):
        lifecycle.current()


def test_the_cache_is_not_purged_under_a_running_cluster(own_run_dir: Path, own_cache: Path, tmp_path: Path):
    own_cache.mkdir()
    lifecycle._remember(Cluster(tmp_path / "kubeconfig", "one-node"))

    result = CliRunner().invoke(app, ["purge"])

    assert isinstance(result.exception, DevelopmentError)
    assert own_cache.exists()


def test_a_purge_deletes_the_cache_alone(own_run_dir: Path, own_cache: Path):
    (own_cache / "bin").mkdir(parents=True)
    (own_cache.parent / "other").touch()

    CliRunner().invoke(app, ["purge"], catch_exceptions=False)

    assert not own_cache.exists()
    assert (own_cache.parent / "other").exists()


def test_nothing_is_installed_where_all_programs_are_there():
    debian.install_missing({"sh": "dash"})


def test_a_missing_program_is_named_with_its_package_where_it_cannot_be_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)

    with pytest.raises(MissingPrerequisiteError, match="surely-not-there missing: install some-package"):
        debian.install_missing({"surely-not-there": "some-package"})


@pytest.mark.usefixtures("no_surroundings")
def test_a_cluster_of_the_users_own_needs_a_registry(tmp_path: Path):
    with pytest.raises(MissingPrerequisiteError, match="--registry"):
        provision.ensure(Cluster(tmp_path / "theirs", "existing"))


def test_a_build_is_told_of_an_index_and_authorities_only_where_there_are_some():
    assert build_arguments({}) == []
    assert build_arguments({"PIP_INDEX_URL": "https://index.example.org", "SSL_CERT_FILE": "/etc/ca.pem"}) == [
        "--build-arg=PIP_INDEX_URL=https://index.example.org",
        "--secret=id=ca,src=/etc/ca.pem",
        "--build-arg=PIP_CERT=/run/secrets/ca",
    ]
