"""Which format of the metrics a client prefers, and whether compressed: RFC 9110, section 12.5.

prometheus-client takes the first format of a header that it knows, regardless of its weight, so it is passed only the
one that the client prefers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

_WEIGHT = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
# The versions that can be served; a client that names none accepts any.
_VERSIONS = {
    "application/openmetrics-text": {"", "1.0.0"},
    "text/plain": {"", "0.0.4", "1.0.0"},
    "text/*": {""},
    "*/*": {""},
}


class _Preference(NamedTuple):
    """One element of a header: `text/plain;version=0.0.4;q=0.3`."""

    value: str
    parameters: dict[str, str]
    weight: float

    @classmethod
    def parse(cls, element: str) -> _Preference:
        value, *rest = (part.strip() for part in element.split(";"))
        parameters = {
            name.strip().lower(): text.strip(' "') for name, _, text in (part.partition("=") for part in rest)
        }
        weight = parameters.pop("q", "1")
        return cls(value.lower(), parameters, float(weight) if _WEIGHT.fullmatch(weight) else 1.0)


def format_for(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder of the preferred format that can be served, and its content type; plain text by default."""
    for each in _by_weight(accept):
        if each.parameters.get("version", "") in _VERSIONS.get(each.value, ()):
            parameters = "".join(f";{name}={text}" for name, text in each.parameters.items())
            return choose_encoder(each.value + parameters)
    return choose_encoder("")


def gzip_wanted(accept_encoding: str) -> bool:
    """Return whether gzip is accepted, and preferred at least as much as an uncompressed answer."""
    weights = {each.value: each.weight for each in _preferences(accept_encoding)}
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0.0 and gzip >= weights.get("identity", 0.0)


def _by_weight(header: str) -> list[_Preference]:
    """Return what is acceptable, most preferred first, in the header's order among equals."""
    acceptable = [each for each in _preferences(header) if each.weight > 0.0]
    return sorted(acceptable, key=lambda each: -each.weight)


def _preferences(header: str) -> list[_Preference]:
    return [_Preference.parse(element) for element in header.split(",") if element.strip()]
