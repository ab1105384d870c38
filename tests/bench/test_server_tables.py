from __future__ import annotations

from stablehand_bench import server
from stablehand_bench.rounds import Spread

SPREAD = Spread(2.0, 1.0, 3.0)


def measured(**more):
    told = {"per_second": SPREAD, "ratio": SPREAD, "p99": SPREAD, "failed": 0, **more}
    host = {"versions": {}, "processor": "x", "cores": 2, "kernel": "6", "python": "3.11"}
    host |= {"load_average_before": 0.0, "load_average_after": 0.0}
    results = [{"title": "gevent", "contestants": {"gunicorn": told}}]
    return {"machine": host, "rounds": 1, "minutes": 1.0, "results": results}


def test_each_row_states_the_commit_at_which_it_was_measured():
    assert server._table("clock", measured(commit="1a2b3c4")).count("| 1a2b3c4 |") == 1


def test_rows_from_before_that_was_noted_say_nothing():
    assert "| gevent | gunicorn | 2 [1–3] | 2.000 [1.000–3.000] | 2.0 [1.0–3.0] | 0 |  |" in server._table(
        "clock", measured()
    )


def test_all_parts_but_the_convoy_run_unless_one_is_asked_for():
    assert server._options([]).parts == ["throughput", "clock", "scrape", "memory"]
    assert server._options(["--parts", "convoy"]).parts == ["convoy"]
