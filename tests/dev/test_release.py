from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import REPOSITORY
from stablehand_dev.release import PLACES, release, set_version, versions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name, _ in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_one_version_stands_everywhere():
    stated = versions(REPOSITORY)

    assert len(set.union(*stated.values())) == 1, stated


def test_a_release_changes_the_version_everywhere_and_nothing_else(copy: Path):
    before = {name: (copy / name).read_text() for name, _ in PLACES}
    old = next(iter(versions(copy)["./pyproject.toml"]))

    set_version(copy, "7.8.9-rc.1")

    assert all(stated == {"7.8.9-rc.1"} for stated in versions(copy).values())
    assert {name: (copy / name).read_text().replace("7.8.9-rc.1", old) for name in before} == before


def test_a_place_that_states_no_version_any_more_is_named_and_nothing_is_written(copy: Path):
    (copy / "README.md").write_text("# Stablehand\n")

    with pytest.raises(DevelopmentError, match=r"README\.md states no version"):
        set_version(copy, "7.8.9")
    assert "7.8.9" not in (copy / "pyproject.toml").read_text()


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.4", "next"])
def test_what_is_no_version_is_refused_with_an_example(version: str):
    with pytest.raises(DevelopmentError, match=r"give one like 0\.2\.0"):
        release(version)
