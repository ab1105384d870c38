from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.cluster.choice import Machine, Wish, choose
from stablehand_dev.errors import MissingPrerequisiteError

if TYPE_CHECKING:
    from pathlib import Path

BARE = Machine(system="linux", root=False, apt=False, kind=False, docker=False)
DEBIAN_AS_ROOT = dataclasses.replace(BARE, root=True, apt=True)
WITH_KIND = dataclasses.replace(BARE, kind=True, docker=True)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.write_text("apiVersion: v1\nkind: Config\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("machine", [BARE, DEBIAN_AS_ROOT, WITH_KIND])
def test_a_kubeconfig_that_the_user_names_takes_precedence(machine: Machine, kubeconfig: Path):
    assert choose(Wish(kubeconfig, None, "existing"), machine) == "existing"


def test_an_exported_kubeconfig_alone_is_not_taken(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("STABLEHAND_CLUSTER", raising=False)

    assert choose(Wish.from_environment(), WITH_KIND) == "kind"


def test_an_exported_kubeconfig_is_taken_when_the_user_says_so(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("STABLEHAND_CLUSTER", "existing")

    wish = Wish.from_environment()

    assert (choose(wish, WITH_KIND), wish.kubeconfig) == ("existing", kubeconfig)


def test_the_users_default_kubeconfig_is_never_taken(tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".kube").mkdir()
    kubeconfig.rename(tmp_path / ".kube" / "config")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("STABLEHAND_CLUSTER", "existing")

    with pytest.raises(MissingPrerequisiteError, match="that you name"):
        choose(Wish.from_environment(), DEBIAN_AS_ROOT)


def test_a_named_kubeconfig_that_is_not_there_is_refused_instead_of_replaced(tmp_path: Path):
    with pytest.raises(MissingPrerequisiteError, match="is not there"):
        choose(Wish(tmp_path / "gone", None, "existing"), DEBIAN_AS_ROOT)


def test_kind_is_preferred_to_a_one_node_cluster():
    both = dataclasses.replace(DEBIAN_AS_ROOT, kind=True, docker=True)

    assert choose(Wish(), both) == "kind"


def test_kind_without_a_running_docker_is_passed_over():
    assert choose(Wish(), dataclasses.replace(DEBIAN_AS_ROOT, kind=True)) == "one-node"


def test_linux_with_apt_as_root_runs_a_node_of_its_own():
    assert choose(Wish(), DEBIAN_AS_ROOT) == "one-node"


@pytest.mark.parametrize(
    "machine",
    [
        BARE,
        dataclasses.replace(DEBIAN_AS_ROOT, root=False),
        dataclasses.replace(DEBIAN_AS_ROOT, apt=False),
        dataclasses.replace(DEBIAN_AS_ROOT, system="darwin"),
    ],
)
def test_where_nothing_is_possible_the_message_says_what_to_install(machine: Machine):
    with pytest.raises(MissingPrerequisiteError, match="Docker and kind") as refusal:
        choose(Wish(), machine)

    assert refusal.value.exit_code == 2


def test_a_wish_for_kind_is_not_silently_fulfilled_by_something_else():
    with pytest.raises(MissingPrerequisiteError, match="no kind"):
        choose(Wish(kind="kind"), DEBIAN_AS_ROOT)


def test_an_unknown_kind_is_refused_with_those_that_are_known():
    with pytest.raises(MissingPrerequisiteError, match="existing, kind and one-node"):
        choose(Wish(kind="minikube"), WITH_KIND)
