"""What can be said about the suite without running it: its list of differences and its page fit its cases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance import page
from conformance.case import CASES
from conformance.columns import COLUMNS
from conformance.differences import Difference, Explanation, complaint, find, listed
from conformance.running import Outcome

SERVER_MD = Path(__file__).parents[3] / "docs" / "server.md"
DIFFERENCES = listed()


@pytest.fixture(scope="module")
def shown():
    """The page's cells, by case and column."""
    rows = {}
    for line in page.PATH.read_text().splitlines():
        cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
        if line.startswith("| ") and len(cells) == 1 + len(COLUMNS) and cells[0] != "case":
            assert cells[0] not in rows
            rows[cells[0].replace("\\|", "|")] = dict(zip(COLUMNS, cells[1:], strict=True))
    return rows


def test_each_difference_is_of_a_case_in_a_column_that_it_suits_and_is_listed_once():
    seen = [(each.case, column) for each in DIFFERENCES for column in each.columns]
    assert len(seen) == len(set(seen))
    for case, column in seen:
        assert column in CASES[case].columns, (case, column)


def test_each_explanation_is_a_line_of_the_table_of_differences():
    table = SERVER_MD.read_text().partition("## What is different from gunicorn")[2]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")}
    assert {each.explanation.row for each in DIFFERENCES if not each.explanation.defect} <= rows


def test_the_page_shows_exactly_the_cases(shown):
    assert set(shown) == set(CASES)
    for name, cells in shown.items():
        assert {column for column, cell in cells.items() if cell != "–"} == CASES[name].columns, name


def test_the_page_shows_exactly_the_differences(shown):
    for name, cells in shown.items():
        for column, cell in cells.items():
            difference = find(DIFFERENCES, name, column)
            explained = re.search(r"\(\[(\d+)\]\(#differences\)\)$", cell)
            assert bool(explained) == bool(difference), (name, column, cell)
            if difference:
                assert int(explained[1]) == difference.explanation.number
                sides = re.match(r"gunicorn (`[^`]*`), here (`[^`]*`) \(", cell).groups()
                for side, told in zip((difference.gunicorn, difference.ours), sides, strict=True):
                    assert side == ("*",) or told in map(page.code, side), (name, column, cell)


def test_the_page_explains_all_differences():
    assert page.PATH.read_text().endswith("".join(page.explained(DIFFERENCES)))


EXPLANATION = Explanation(1, "because", "a row", defect=False)
DIFFERENT = Difference("a case", ("sync",), ("closed",), ("200",), EXPLANATION)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome("closed", "200"), ""),
        (Outcome("closed", "closed"), "is listed as a difference, and there is none any more"),
        (Outcome("200", "200"), "is listed as a difference, and there is none any more"),
        (Outcome("closed", "500"), "ours should be 200"),
        (Outcome("reset", "200"), "gunicorn's should be closed"),
    ],
)
def test_a_listed_difference_has_to_occur_as_it_is_listed(outcome, said):
    assert complaint("a case", "sync", outcome, (DIFFERENT,)) == said


def test_a_side_that_does_not_always_do_the_same_may_do_each_of_it():
    different = Difference("a case", ("sync",), ("closed", "200"), ("200",), EXPLANATION)
    assert not complaint("a case", "sync", Outcome("closed", "200"), (different,))
    assert not complaint("a case", "sync", Outcome("200", "200"), (different,))
    assert complaint("a case", "sync", Outcome("closed", "closed"), (different,))


def test_a_defect_that_is_mended_fails_no_test_but_is_to_be_taken_off_the_list():
    explanation = Explanation(1, "known", "", defect=True)
    known = (Difference("a case", ("sync",), ("closed",), ("200",), explanation),)
    assert not complaint("a case", "sync", Outcome("closed", "closed"), known)
    assert complaint("a case", "sync", Outcome("closed", "closed"), known, strict=True)
    assert complaint("a case", "sync", Outcome("closed", "500"), known)


def test_a_difference_that_is_not_listed_is_complained_about():
    assert complaint("another", "sync", Outcome("closed", "200"), (DIFFERENT,))
    assert complaint("a case", "gthread", Outcome("closed", "200"), (DIFFERENT,))
    assert not complaint("another", "sync", Outcome("200", "200"), (DIFFERENT,))
