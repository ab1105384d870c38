r"""A recorded history: one line of JSON for each round of scrapes.

    {"at": 1764000000.0, "pods": {"http://10.0.0.1:9464/metrics": "stablehand_workers{state=...} 2\n...", "...": null}}

`at` is Unix time. A pod's text is its exposition as it was scraped; null where a scrape failed.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

from stablehand_tuner.contracts.numbers import is_number
from stablehand_tuner.observe.exposition import MalformedExposition
from stablehand_tuner.observe.snapshot import IncompleteSnapshot, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PREFIX = "stablehand_"


class InvalidRecording(ValueError):  # noqa: N818 (a reader meets it in a sentence: "invalid recording: ...")
    """A line that is not a round of scrapes; the message names the line."""


class RecordedRound(NamedTuple):
    """One round: when, and by pod what was seen; None where a scrape failed or cannot be used."""

    at: float
    pods: Mapping[str, Snapshot | None]
    faults: tuple[str, ...]


def write(at: float, texts: Mapping[str, str | None]) -> str:
    """Return the line of one round; of each text only what the tuner reads is kept."""
    pods = {pod: None if text is None else _only_ours(text) for pod, text in texts.items()}
    return json.dumps({"at": round(at, 3), "pods": pods}, separators=(",", ":"))


def read(lines: Iterable[str]) -> Iterator[RecordedRound]:
    """Yield the rounds of a recording.

    Raises:
        InvalidRecording: at the first line that is invalid, or not later than the one before.
    """
    last = -math.inf
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at, texts = _parsed(line, number)
        if at <= last:
            raise InvalidRecording(f"line {number}: at is {at}, not later than {last} before")
        last = at
        pods: dict[str, Snapshot | None] = {}
        faults = []
        for pod, text in texts.items():
            pods[pod] = None
            if text is None:
                faults.append(f"{pod}: the scrape failed")
                continue
            try:
                pods[pod] = Snapshot.from_text(text, at)
            except (MalformedExposition, IncompleteSnapshot) as error:
                faults.append(f"{pod}: {error}")
        yield RecordedRound(at, pods, tuple(faults))


def _parsed(line: str, number: int) -> tuple[float, dict[str, str | None]]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise InvalidRecording(f"line {number} is not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("pods"), dict):
        raise InvalidRecording(f'line {number} must be an object like {{"at": 0.0, "pods": {{"POD": "METRICS"}}}}')
    at, pods = fields.get("at"), fields["pods"]
    if not is_number(at):
        raise InvalidRecording(f"line {number}: at must be a number of seconds, not {at!r}")
    for pod, text in pods.items():
        if text is not None and not isinstance(text, str):
            raise InvalidRecording(f"line {number}: {pod} must be the text of its metrics, or null")
    return float(at), pods


def _only_ours(text: str) -> str:
    return "".join(line + "\n" for line in text.split("\n") if line.startswith(_PREFIX))
