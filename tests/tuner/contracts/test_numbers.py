from __future__ import annotations

import math
import sys

import pytest

from stablehand_tuner.contracts.numbers import is_number, is_whole


@pytest.mark.parametrize("value", [0, -1, 2**53, 0.5, -0.0, sys.float_info.max])
def test_a_number_is_what_a_float_can_hold(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, False, None, "1", [1], math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_what_python_or_its_parser_takes_for_a_number_is_none(value):
    assert not is_number(value)


def test_a_whole_number_is_no_fraction_and_no_truth_value():
    assert is_whole(10**400)
    assert not any(map(is_whole, (True, 1.0, "1", None)))
