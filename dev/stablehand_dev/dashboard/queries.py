"""Every PromQL expression of a dashboard, ready to run: for the tests, and for users without Grafana."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STORED = REPOSITORY / "charts" / "stablehand" / "dashboards" / "stablehand.json"


class Query(NamedTuple):
    """One expression with the variables filled in.

    An annotation's expression returns data only when something happened: absence is its usual answer.
    """

    kind: Literal["panel", "annotation"]
    title: str
    expression: str


def queries(
    dashboard: Mapping[str, Any] | None = None,
    *,
    namespace: str,
    app: str,
    pod: str = ".*",
    rate_interval: str = "1m",
) -> list[Query]:
    """Return all queries of the dashboard (by default the chart's) for one app.

    `rate_interval` stands in for what Grafana computes: at least four times the interval of scraping.

    Raises:
        ValueError: when an expression holds a variable that has no value here.
    """
    values = {"namespace": namespace, "app": app, "pod": pod, "__rate_interval": rate_interval}
    board = json.loads(STORED.read_text(encoding="utf-8")) if dashboard is None else dashboard
    found = [Query("panel", panel["title"], target["expr"]) for panel in _panels(board) for target in panel["targets"]]
    found += [Query("annotation", each["name"], each["expr"]) for each in board["annotations"]["list"]]
    return [query._replace(expression=_filled(query.expression, values)) for query in found]


def _panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or []
        else:
            yield panel


def _filled(expression: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(f"${name}", value)
    if "$" in expression:
        raise ValueError(f"a variable without a value is in {expression!r}")
    return expression
