from __future__ import annotations

from pathlib import Path

import pytest

from stablehand_bench.apps import hazards as apps
from stablehand_bench.hazards import catalogue, plan, publish
from stablehand_bench.tuner import contestants

FOLDER = Path(apps.__file__).parent
PAGE = publish.RESULTS.parents[1] / "bench-hazards.md"


def test_every_app_has_a_file_of_its_own_and_every_file_is_an_app():
    files = [each.workload.app.split(":")[0].rpartition(".")[2] for each in catalogue.ALL]

    assert len(set(files)) == len(files)
    assert set(files) | {"__init__", "page", "upstream"} == {path.stem for path in FOLDER.glob("*.py")}


@pytest.mark.parametrize("hazard", catalogue.ALL, ids=lambda each: each.name)
def test_an_app_has_all_that_it_needs(hazard):
    source = (FOLDER / f"{hazard.workload.app.split(':')[0].rpartition('.')[2]}.py").read_text()

    assert ("STABLEHAND_BENCH_POSTGRES" in source) == bool(hazard.max_connections)
    assert ("STABLEHAND_BENCH_UPSTREAM" in source) == hazard.upstream
    assert ("limit of 600 MB" in source) == (hazard.workload.memory_mib == 600)


def test_the_page_explains_every_app():
    text = PAGE.read_text()

    assert [each.name for each in catalogue.ALL if f"| `{each.name}` |" not in text] == []


def test_what_a_user_has_put_on_the_command_line_comes_before_what_is_tried():
    hazard = catalogue.BY_NAME["logins"]
    static = contestants.static_command(hazard.breaks, hazard.workload, 8000, 9464)
    tuner = contestants.command(contestants.STABLEHAND, hazard.workload, cores=2, port=8000, metrics_port=9464)

    assert [static[at + 1] for at, each in enumerate(static) if each == "--workers"] == ["1", "2"]
    assert [tuner[at + 1] for at, each in enumerate(tuner) if each == "--workers"] == ["1"]
    assert tuner[-1] == "stablehand_bench.apps.hazards.logins:app"


def test_a_plan_knows_the_apps_and_about_how_long_they_take():
    chosen = plan.make(["postgres", "lock"])

    assert [each.name for each in chosen.hazards] == ["postgres", "lock"]
    assert 2 * 180 < chosen.seconds() < 2 * 300
    assert plan.make().names == tuple(catalogue.BY_NAME)
    with pytest.raises(plan.BenchError, match="no app 'mysql'"):
        plan.make(["mysql"])
    with pytest.raises(plan.BenchError, match="fewer"):
        plan.make(tuning=10)
