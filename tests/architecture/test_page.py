"""docs/architecture.md draws the packages as their imports are."""

from __future__ import annotations

import pytest

from stablehand_dev.architecture import page
from stablehand_dev.architecture.imports import without_detours
from stablehand_dev.errors import DevelopmentError


def test_the_drawing_is_what_the_code_imports():
    text = page.PAGE.read_text(encoding="utf-8")

    assert page.renewed(text) == text, "run `make generate`"


def test_a_page_without_a_place_for_the_drawing_is_named():
    with pytest.raises(DevelopmentError, match=r"architecture\.md lacks the lines"):
        page.renewed("# Architecture\n")


def test_an_arrow_that_a_longer_way_implies_is_left_out():
    arrows = {"top": {"middle", "bottom"}, "middle": {"bottom"}, "bottom": set()}

    assert without_detours(arrows) == {"top": {"middle"}, "middle": {"bottom"}, "bottom": frozenset()}


def test_a_circle_is_refused_with_the_names_of_those_in_it():
    with pytest.raises(ValueError, match="in a circle through one, other"):
        without_detours({"one": {"other"}, "other": {"one"}, "third": {"one"}})
