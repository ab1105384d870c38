from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "tuner.md").read_text()
ROWS = {match[1]: match for match in re.finditer(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_is_documented_with_what_to_do_about_it(reason):
    assert reason.value in ROWS
    assert ROWS[reason.value][3]


def test_no_reason_is_documented_that_does_not_exist():
    assert set(ROWS) == {each.value for each in Reason}


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_code_for_programs_and_a_line_for_people(reason):
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason.value)
    assert str(reason) == reason.value
    assert reason.meaning.endswith(".")
    assert "\n" not in reason.meaning


def test_the_documented_policy_is_the_default():
    block = re.search(r"```yaml\n(.+?)```", PAGE, re.DOTALL)[1]

    assert Policy.from_mapping(yaml.safe_load(block)["tuning"]) == Policy()
