r"""Prometheus' text format → samples.

    stablehand_worker_requests_total{worker="0",code="2xx"} 1027

Only lines of samples count; `# HELP` and `# TYPE` are comments here, since the contract defines each name. The
text may be anybody's: whatever is no sample refuses the whole text, and the work grows with its length, not faster.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Sample = tuple[str, "Mapping[str, str]", float]
"""The sample's name, its labels, and its value."""

_BLANKS = " \t"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(
    r"""[ \t]* ([a-zA-Z_][a-zA-Z0-9_]*) [ \t]*=[ \t]* "([^"\\]*(?:\\.[^"\\]*)*)" [ \t]*(?:,|\Z)[ \t]*""", re.VERBOSE
)
_NUMBER = re.compile(r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|[iI]nf|[nN]a[nN])")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}
_LONGEST_QUOTE = 80  # characters of a line that is refused


class MalformedExposition(ValueError):  # noqa: N818 (a reader meets it in a sentence: "malformed: line 3 ...")
    """A text that is not an exposition of metrics; the message is one sentence that names the line."""


def samples(text: str) -> Iterator[Sample]:
    """Yield the samples of an exposition, in their order; timestamps are ignored.

    Raises:
        MalformedExposition: at the first line that is neither a sample nor a comment.
    """
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if line and line[0] != "#":
            yield _sample(line, number)


def _sample(line: str, number: int) -> Sample:
    labels: Mapping[str, str] = {}
    head, brace, tail = line.rpartition("}")
    if brace:
        name, brace, inside = head.partition("{")
        if not brace:
            raise _malformed(line, number)
        labels = _labels(inside.strip(_BLANKS), line, number)
    else:
        name, _, tail = line.replace("\t", " ").partition(" ")
    name, words = name.rstrip(_BLANKS), [word for word in tail.replace("\t", " ").split(" ") if word]
    if not _NAME.fullmatch(name) or len(words) not in {1, 2} or not all(map(_NUMBER.fullmatch, words)):
        raise _malformed(line, number)
    try:
        return name, labels, float(words[0])
    except ValueError:
        raise _malformed(line, number) from None


def _labels(inside: str, line: str, number: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    place = 0
    while place < len(inside):
        found = _LABEL.match(inside, place)
        if found is None or found[1] in labels:
            raise _malformed(line, number)
        value = found[2]
        labels[found[1]] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        place = found.end()
    return labels


def _unescaped(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[0])  # the format has no other: then the backslash is one


def _malformed(line: str, number: int) -> MalformedExposition:
    return MalformedExposition(f"line {number} is no sample: {line[:_LONGEST_QUOTE]!r}")
