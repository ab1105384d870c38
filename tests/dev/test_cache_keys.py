from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stablehand_dev.cluster.binaries import SOURCES, content_key, kubernetes_version, version_flags
from stablehand_dev.cluster.go_toolchain import parse_version
from stablehand_dev.images.sources import INPUTS, TARGETS, snapshot, tag
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "go.mod", tmp_path / "main.go"]
    for file in files:
        file.write_text(f"contents of {file.name}", encoding="utf-8")
    return files


def test_the_same_sources_and_compiler_have_the_same_key(inputs: list[Path]):
    assert content_key(inputs, "go1.26.8") == content_key(inputs, "go1.26.8")


def test_another_compiler_has_another_key(inputs: list[Path]):
    assert content_key(inputs, "go1.26.8") != content_key(inputs, "go1.27.3")


def test_a_change_of_any_source_changes_the_key(inputs: list[Path]):
    before = content_key(inputs, "go1.26.8")

    inputs[1].write_text("changed", encoding="utf-8")

    assert content_key(inputs, "go1.26.8") != before


def test_text_that_moves_from_one_file_to_the_next_changes_the_key(tmp_path: Path):
    first, second = tmp_path / "a", tmp_path / "b"
    keys = set()
    for left, right in [("ab", "c"), ("a", "bc")]:
        first.write_text(left, encoding="utf-8")
        second.write_text(right, encoding="utf-8")
        keys.add(content_key([first, second]))

    assert len(keys) == 2


def test_the_version_of_kubernetes_is_the_one_that_go_mod_requires():
    assert kubernetes_version("require (\n\tk8s.io/component-base v0.34.4\n\tk8s.io/kubernetes v1.34.4\n)") == "v1.34.4"
    assert kubernetes_version((SOURCES / "go.mod").read_text(encoding="utf-8")).startswith("v1.")


def test_a_go_mod_without_kubernetes_is_refused():
    with pytest.raises(ValueError, match="does not require"):
        kubernetes_version("module example\n")


def test_kubernetes_is_told_its_version():
    assert "-X k8s.io/component-base/version.gitMinor=34" in version_flags("v1.34.4")


@pytest.mark.parametrize(
    ("text", "version"), [("go1.26.8", (1, 26)), ("go1.24rc1\n", (1, 24)), ("devel go1.28-abc", None), ("", None)]
)
def test_versions_of_go_are_understood(text: str, version: tuple[int, int] | None):
    assert parse_version(text) == version


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for entries in INPUTS.values():
        for entry in entries:
            path = tmp_path / entry
            if (REPOSITORY / entry).is_dir():
                path.mkdir(parents=True, exist_ok=True)
                (path / "code.py").write_text("x = 1\n", encoding="utf-8")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("content\n", encoding="utf-8")
    return tmp_path


def tags(repository: Path, base: str = "base:1") -> dict[str, str]:
    return {target: tag(repository, target, base) for target in TARGETS}


def test_an_unchanged_source_keeps_its_tags_whatever_byproducts_lie_around(repository: Path):
    before = tags(repository)

    (repository / "tuner" / "__pycache__").mkdir()
    (repository / "tuner" / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"\0")

    assert tags(repository) == before


def test_a_change_of_the_tuner_changes_every_image(repository: Path):
    before = tags(repository)

    (repository / "tuner" / "code.py").write_text("x = 2\n", encoding="utf-8")

    assert all(tags(repository)[target] != before[target] for target in TARGETS)


def test_a_change_of_an_example_changes_the_example_only(repository: Path):
    before = tags(repository)

    (repository / "examples" / "code.py").write_text("x = 2\n", encoding="utf-8")

    after = tags(repository)
    assert [target for target in TARGETS if after[target] != before[target]] == ["example"]


def test_a_copy_of_the_sources_has_the_same_tags_and_stays_as_it_was(repository: Path):
    before = tags(repository)

    with snapshot(repository) as copy:
        (repository / "tuner" / "code.py").write_text("x = 2\n", encoding="utf-8")

        assert tags(copy) == before
        assert tags(repository) != before
    assert not copy.exists()


def test_another_base_changes_every_image(repository: Path):
    other = tags(repository, "base:2")

    assert all(other[target] != tags(repository)[target] for target in TARGETS)


def test_every_source_that_the_dockerfile_copies_is_in_the_tag():
    copied = set()
    for line in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied.update(word.rstrip("/") for word in line.split()[1:-1])

    assert copied <= {entry for entries in INPUTS.values() for entry in entries}
