"""The operator's own metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stablehand_operator.scrape import REASONS
from stablehand_tuner.contracts.metric_names import TUNER_DECISIONS


class Telemetry:
    """The operator's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "stablehand_operator_reconciles",
            "Reconciliations of an app, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "stablehand_operator_reconcile_duration_seconds",
            "How long a reconciliation took.",
            registry=self.registry,
        )
        self.applies = Counter(
            "stablehand_operator_applies", "Objects applied, by kind.", ["kind"], registry=self.registry
        )
        self.scrapes = Counter("stablehand_operator_scrapes", "Scrapes of pods.", registry=self.registry)
        self.scrape_failures = Counter(
            "stablehand_operator_scrape_failures", "Scrapes that yielded nothing.", ["reason"], registry=self.registry
        )
        self.decisions = Counter(
            TUNER_DECISIONS.name, TUNER_DECISIONS.help, TUNER_DECISIONS.labels, registry=self.registry
        )
        self.apps = Gauge("stablehand_operator_apps", "Apps that are looked after.", registry=self.registry)
        # every series exists from the start, so that a rate over it never misses the first event
        for outcome in ("done", "retry", "refused"):
            self.reconciles.labels(outcome)
        for reason in REASONS:
            self.scrape_failures.labels(reason)
