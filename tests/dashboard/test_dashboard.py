"""The dashboard: generated, up to date, and made of metrics that exist."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from stablehand_dev.dashboard import queries, scrape_config, static_scrape_config
from stablehand_dev.dashboard.queries import STORED
from stablehand_dev.dashboard.scraping import pod_target
from stablehand_tuner.contracts import metric_names

SAMPLE_NAMES = {metric.sample_name for metric in metric_names.ALL} | {
    f"{metric.name}_{suffix}"
    for metric in metric_names.ALL
    if metric.kind == "histogram"
    for suffix in ("bucket", "sum", "count")
}


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def all_queries(stored):
    return queries(stored, namespace="shop", app="web")


def test_the_stored_dashboard_is_what_the_code_generates():
    build = pytest.importorskip("stablehand_dev.dashboard.build", reason="Grafana's library needs Python 3.11")
    assert STORED.read_text(encoding="utf-8") == build.dashboard_json(), "run `make generate`"


def test_every_query_names_only_metrics_of_the_contract(all_queries):
    for query in all_queries:
        named = set(re.findall(r"stablehand_\w+", query.expression))
        assert named, query
        assert named <= SAMPLE_NAMES, query


def test_every_selector_picks_the_chosen_namespace_app_and_pods(all_queries):
    chosen = 'namespace="shop",app="web",pod=~".*"'
    for query in all_queries:
        for selector in re.findall(r"stablehand_\w+(\{.*?\})", query.expression):
            assert chosen in selector, query


def test_every_label_in_a_query_is_one_that_the_metric_has(all_queries):
    labels = {metric.sample_name: set(metric.labels) for metric in metric_names.ALL}
    for query in all_queries:
        for name, selector in re.findall(r"(stablehand_\w+)\{(.*?)\}", query.expression):
            used = set(re.findall(r"(\w+)=", selector)) - {"namespace", "app", "pod"}
            assert used <= labels.get(name, set()), query


def test_what_the_tuner_decides_by_is_all_on_the_dashboard(all_queries):
    shown = {name for query in all_queries for name in re.findall(r"stablehand_\w+", query.expression)}
    for metric in (
        metric_names.WORKER_SLOTS,
        metric_names.WORKER_BUSY_SECONDS,
        metric_names.WORKER_CPU_SECONDS,
        metric_names.WORKER_RUN_DELAY_SECONDS,
        metric_names.WORKER_REQUESTS,
        metric_names.LISTEN_BACKLOG,
        metric_names.WORKER_PROPORTIONAL_MEMORY_BYTES,
        metric_names.WORKER_LAG_SECONDS,
        metric_names.SETTING,
    ):
        assert metric.sample_name in shown


def test_a_variable_without_a_value_is_an_error_not_a_query_that_finds_nothing():
    board = {"panels": [{"type": "timeseries", "title": "t", "targets": [{"expr": "up{x='$y'}"}]}]}
    with pytest.raises(ValueError, match=r"\$y"):
        queries({**board, "annotations": {"list": []}}, namespace="shop", app="web")


def test_every_panel_has_a_title_a_unit_and_a_legend_and_panels_do_not_overlap(stored):
    panels = [panel for panel in stored["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & cells, panel["title"]
        cells |= own


def test_the_scrape_configuration_sets_the_labels_that_the_queries_pick_by(tmp_path):
    (job,) = scrape_config(tmp_path / "kubeconfig")["scrape_configs"]
    targets = {rule.get("target_label") for rule in job["relabel_configs"]}
    assert {"namespace", "pod", "app"} <= targets
    assert job["kubernetes_sd_configs"][0]["kubeconfig_file"] == str(tmp_path / "kubeconfig")
    assert "kubeconfig_file" not in yaml.safe_dump(scrape_config())


def test_a_fixed_list_of_pods_carries_the_same_labels():
    (job,) = static_scrape_config([pod_target("198.51.100.7", "shop", "web-1", "web")])["scrape_configs"]
    assert job["static_configs"] == [
        {"targets": ["198.51.100.7:9464"], "labels": {"namespace": "shop", "pod": "web-1", "app": "web"}}
    ]
