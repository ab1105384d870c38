"""The Grafana dashboard: written in Python, built from the metrics' registry, stored as JSON in the chart."""

from stablehand_dev.dashboard.queries import Query, queries
from stablehand_dev.dashboard.scraping import scrape_config, static_scrape_config

__all__ = ["Query", "queries", "scrape_config", "static_scrape_config"]
