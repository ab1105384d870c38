"""The dashboard itself: rows of panels, as Grafana's own library builds them."""

# The library's types need Python 3.11; checked for 3.10, what its methods return is Any and its enumerations are str.
# mypy: disable-error-code="no-any-return, arg-type"

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from stablehand_dev.dashboard import expressions as promql
from stablehand_tuner.contracts import metric_names as names

_DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HALF = 12
_THIRD = 8
_QUARTER = 6
_HEIGHT = 7

Line = tuple[str, str]
"""An expression, and the legend of what it returns."""


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it, the same text for the same code."""
    built = json.loads(json.dumps(_dashboard().build(), cls=JSONEncoder))
    # The library knows no titles for a Prometheus query's annotations; Grafana reads these two fields.
    titles = {"Settings changed": "Settings changed in {{pod}}", "Settings refused": "Settings {{outcome}} in {{pod}}"}
    for annotation in built["annotations"]["list"]:
        annotation.update(titleFormat=titles[annotation["name"]], step="")
    return json.dumps(built, indent=2, ensure_ascii=False) + "\n"


def _dashboard() -> dashboard.Dashboard:
    board = (
        dashboard.Dashboard("Stablehand: a WSGI app")
        .uid("stablehand-wsgiapp")
        .description("One WSGIApp: what it serves, with which settings, and how its workers fare")
        .tags(["stablehand", "gunicorn", "python"])
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_choice("namespace", "Namespace", f"label_values({names.GENERATION.name}, namespace)"))
        .with_variable(_choice("app", "App", f'label_values({names.GENERATION.name}{{namespace="$namespace"}}, app)'))
        .with_variable(
            _choice("pod", "Pod", f'label_values({names.GENERATION.name}{{namespace="$namespace",app="$app"}}, pod)')
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
        .annotation(_annotation("Settings changed", promql.GENERATION_CHANGED, "blue"))
        .annotation(_annotation("Settings refused", promql.SETTINGS_REFUSED, "red"))
    )
    for title, panels in _rows():
        board = board.with_row(dashboard.Row(title))
        for each in panels:
            board = board.with_panel(each)
    return board


def _rows() -> list[tuple[str, list[timeseries.Panel]]]:
    return [("App", _app()), ("Settings", _settings()), ("Workers", _workers()), ("Exits and restarts", _exits())]


def _app() -> list[timeseries.Panel]:
    duration, queue = names.REQUEST_DURATION_SECONDS, names.REQUEST_QUEUE_SECONDS
    quantiles = [(promql.quantile(share, duration), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]
    return [
        _panel("Requests", "reqps", (promql.total(promql.rate(names.WORKER_REQUESTS), "code"), "{{code}}")),
        _panel("Time inside the app", "s", *quantiles, (promql.quantile(0.99, queue), "p99 of waiting for a slot")),
        _panel("Errors", "percentunit", (promql.ERROR_SHARE, "5xx and errors"), highest=1),
        _panel(
            "Slots",
            "short",
            (promql.total(promql.series(names.WORKER_SLOTS)), "slots"),
            (promql.BUSY_ON_AVERAGE, "busy on average"),
            (promql.total(promql.series(names.WORKER_BUSY_SLOTS)), "busy now"),
            about="How many requests can be inside the app at once, and how many are",
        ),
        _panel(
            "Backlog",
            "short",
            (promql.total(promql.series(names.LISTEN_BACKLOG)), "waiting in the kernel"),
            (promql.total(promql.series(names.LISTEN_BACKLOG_LIMIT)), "limit"),
            about="Connections that no worker has accepted yet",
        ),
        _panel(
            "CPU share of a request",
            "percentunit",
            (promql.CPU_SHARE, "computing"),
            highest=1,
            about="Near 100 % the app computes and needs processes; near 0 % it waits and needs threads or connections",
        ),
        _panel("Cores", "short", (promql.CORES_USED, "used"), (promql.CORES_GIVEN, "given"), width=_QUARTER),
        _panel("Throttled", "percentunit", (promql.THROTTLED, "of the time"), width=_QUARTER),
        _panel(
            "Memory",
            "bytes",
            (promql.total(promql.series(names.WORKER_PROPORTIONAL_MEMORY_BYTES)), "workers (PSS)"),
            (promql.total(promql.series(names.MEMORY_LIMIT_BYTES)), "limit"),
            width=_QUARTER,
        ),
        _panel("Pods", "short", (promql.READY_PODS, "with a ready worker"), width=_QUARTER),
    ]


def _settings() -> list[timeseries.Panel]:
    return [
        *(
            _panel(title, "short", (promql.setting(name), "{{kind}}"), width=_QUARTER, steps=True)
            for title, name in (
                ("Workers", "workers"),
                ("Threads of a worker", "threads"),
                ("Connections of a worker", "worker_connections"),
            )
        ),
        _panel(
            "Worker class, by pods", "short", (promql.PODS_BY_CLASS, "{{worker_class}}"), width=_QUARTER, steps=True
        ),
        _panel("Generation", "short", (promql.highest(promql.series(names.GENERATION), "pod"), "{{pod}}"), steps=True),
        _panel(
            "Changes of settings",
            "short",
            (promql.total(promql.increase(names.GENERATION_SWITCHES), "outcome"), "{{outcome}}"),
            about="done; rolled back, when the new workers did not start; rejected, when the settings were invalid",
        ),
        _panel(
            "Modules that block gevent",
            "short",
            (promql.BLOCKING_MODULES, "loaded"),
            about="While there are any, the tuner does not choose gevent",
        ),
    ]


def _workers() -> list[timeseries.Panel]:
    return [
        _by_worker("Slots of each worker", "short", promql.series(names.WORKER_SLOTS)),
        _by_worker("Busy slots of each worker, on average", "short", promql.rate(names.WORKER_BUSY_SECONDS)),
        _by_worker("Requests of each worker", "reqps", promql.rate(names.WORKER_REQUESTS)),
        _by_worker("CPU of each worker", "percentunit", promql.rate(names.WORKER_CPU_SECONDS)),
        _by_worker("Waiting for a core", "percentunit", promql.rate(names.WORKER_RUN_DELAY_SECONDS)),
        _by_worker("Lag of each worker's timer", "s", promql.series(names.WORKER_LAG_SECONDS)),
        _by_worker("Connections of each worker", "short", promql.series(names.WORKER_CONNECTIONS)),
        _by_worker("Memory of each worker (PSS)", "bytes", promql.series(names.WORKER_PROPORTIONAL_MEMORY_BYTES)),
        _by_worker("Memory of each worker (RSS)", "bytes", promql.series(names.WORKER_RESIDENT_MEMORY_BYTES)),
    ]


def _exits() -> list[timeseries.Panel]:
    return [
        _panel("Exits", "short", (promql.total(promql.increase(names.WORKER_EXITS), "reason"), "{{reason}}")),
        _panel("Workers by state", "short", (promql.total(promql.series(names.WORKERS), "state"), "{{state}}")),
        _panel("Restarts of the server", "short", (promql.RESTARTS, "{{pod}}")),
    ]


def _by_worker(title: str, unit: str, expression: str) -> timeseries.Panel:
    return _panel(title, unit, (promql.per_worker(expression), "{{pod}} {{worker}}"))


def _panel(
    title: str,
    unit: str,
    *lines: Line,
    width: int = _THIRD,
    highest: float | None = None,
    about: str = "",
    steps: bool = False,
) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .min(0)
        .datasource(_DATASOURCE)
        .span(width)
        .height(_HEIGHT)
        .fill_opacity(8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if highest is not None:
        panel = panel.max(highest)
    if steps:
        panel = panel.line_interpolation(common_models.LineInterpolation.STEP_AFTER)
    for number, (expression, legend) in enumerate(lines):
        panel = panel.with_target(
            prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend).range()
        )
    return panel


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(_DATASOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _annotation(name: str, expression: str, color: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery().name(name).datasource(_DATASOURCE).expr(expression).icon_color(color)


def parsed() -> dict[str, Any]:
    """Return the dashboard as the JSON object that `dashboard_json` writes."""
    return dict(json.loads(dashboard_json()))
