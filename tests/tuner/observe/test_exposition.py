from __future__ import annotations

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from stablehand_tuner.observe.exposition import MalformedExposition, samples

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False) | st.integers(0, 2**53).map(float)


def escaped(value):
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def line(name, labels, number):
    inside = ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{inside}}} {number}" if labels else f"{name} {number}"


def by_prometheus_client(text):
    return [
        (each.name, each.labels, each.value)
        for family in text_string_to_metric_families(text)
        for each in family.samples
    ]


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3), NUMBERS), max_size=5))
def test_what_was_written_is_read(written):
    text = "".join(line(*each) + "\n" for each in written)

    assert list(samples(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n \n\t\n",
        '# HELP a_total words { } "\n# TYPE a_total counter\na_total 1\n',
        "a 1",
        "a 1.5e-3 1700000000000\n",
        "a\t1\n",
        "  a  1  \r\n",
        'a{b="c"}1\n',
        'a { b = "c" , d = "e" , } 1 \n',
        "a{} +Inf\n",
        'a{le="+Inf"} -Inf\n',
        r'a{b="\\ \" \n \x"} 1' + "\n",
        'a{b="} 5",c="{"} 3\n',
        'a{b="\u2028\x85"} 1\n',
        "a:b_9 0\n",
    ],
)
def test_a_text_means_what_prometheus_client_makes_of_it(text):
    assert list(samples(text)) == by_prometheus_client(text)


def test_no_number_is_a_number_of_the_format():
    ((_, _, value),) = samples("a NaN\n")

    assert math.isnan(value)


@pytest.mark.parametrize(
    "refused",
    [
        "a",
        "a 1 2 3",
        "a one",
        "a 1_000",
        "a 1.2.3",
        "a ٣",
        "a 1\x1c2",
        "9a 1",
        "a} 1",
        "a 1 }",
        "{} 1",
        'a{b="c" 1',
        'a{b="c} 1',
        "a{b=c} 1",
        'a{b="c",b="d"} 1',
        'a{b="c"d="e"} 1',
        'a{,b="c"} 1',
        'a{9="c"} 1',
        "<html></html>",
        "\x00\x01\x02",
    ],
)
def test_a_line_that_is_no_sample_refuses_the_text_and_is_named(refused):
    with pytest.raises(MalformedExposition, match="line 2 is no sample: "):
        list(samples(f"good 1\n{refused}\n"))


def test_a_long_line_is_quoted_in_part():
    with pytest.raises(MalformedExposition) as malformed:
        list(samples("x" * 10_000))

    assert len(str(malformed.value)) < 150


@given(st.text(alphabet='ab{}="\\,\n #1.+-eE \tNaIinf', max_size=60))
def test_whatever_comes_is_read_or_refused(text):
    try:
        read = list(samples(text))
    except MalformedExposition:
        return
    assert read == read_again(text) or any(math.isnan(value) for _, _, value in read)


def read_again(text):
    return list(samples("".join(line(name, labels, value) + "\n" for name, labels, value in samples(text))))


@pytest.mark.parametrize(
    "hostile",
    [
        "a{" + ",".join(f'l{number}=""' for number in range(1 << 19)) + "} 1",
        "a{" + "}" * (1 << 22),
        'a{b="' + r"\"" * (1 << 21),
        'a{b="' + "\\" * (1 << 22) + '"} 1',
        "a{b" + " " * (1 << 22) + "} 1",
        "a " + "." * (1 << 22),
    ],
    ids=["labels", "braces", "quotes", "backslashes", "blanks", "dots"],
)
def test_megabytes_that_would_hold_up_a_parser_whose_work_grows_faster_are_read_or_refused(hostile):
    try:
        ((name, _, value),) = samples(hostile)
    except MalformedExposition as malformed:
        assert "line 1" in str(malformed)  # noqa: PT017 (either is right)
    else:
        assert (name, value) == ("a", 1.0)
