from __future__ import annotations

import json

import pytest

from stablehand_bench import report
from stablehand_bench.errors import BenchError
from stablehand_bench.report import Column
from stablehand_bench.rounds import Spread

RESULTS = [
    {"title": "sync", "contestants": {"plain": {"n": Spread(2.0, 1.0, 3.0)}, "other": {"n": Spread(4.0, 4.0, 4.0)}}},
]


def test_a_table_names_a_result_once_and_has_a_row_for_each_contestant():
    text = report.table("class", RESULTS, [Column("number", lambda told: told["n"].text())])

    assert text.splitlines() == [
        "| class | server | number |",
        "| --- | --- | ---: |",
        "| sync | plain | 2 [1–3] |",
        "|  | other | 4 [4–4] |",
    ]


def test_json_has_every_number_by_its_name(tmp_path):
    report.write_json(tmp_path / "new" / "results.json", {"results": RESULTS})
    (written,) = json.loads((tmp_path / "new" / "results.json").read_text())["results"]

    assert written["contestants"]["plain"]["n"] == {"median": 2.0, "lowest": 1.0, "highest": 3.0}


def test_written_results_are_read_again_with_their_spreads(tmp_path):
    assert report.read_json(tmp_path / "results.json") == {}
    report.write_json(tmp_path / "results.json", {"results": RESULTS})

    assert report.read_json(tmp_path / "results.json") == {"results": RESULTS}


def test_only_what_stands_between_the_marks_of_a_page_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n")
    report.write_section(page, "new \\1\n")
    report.write_section(page, "newer \\1\n")

    assert page.read_text() == "before\n<!-- results -->\nnewer \\1\n<!-- end of results -->\nafter\n"


def test_a_page_without_marks_is_an_error_and_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n")
    with pytest.raises(BenchError, match="marks"):
        report.write_section(page, "new\n")

    assert page.read_text() == "text\n"
