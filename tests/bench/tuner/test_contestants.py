from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, workloads
from stablehand_bench.tuner.contestants import NotApplicable
from stablehand_tuner.contracts.settings import Settings, WorkerClass

WSGI, ASGI = workloads.BY_NAME["hello"], workloads.BY_NAME["asgi"]


def started(name, workload=WSGI, cores=2):
    return " ".join(contestants.command(name, workload, cores=cores, port=8000, metrics_port=9464))


def test_the_tuner_starts_knowing_nothing():
    command = started(contestants.STABLEHAND)

    assert "--autotune" in command
    assert "--workers" not in command
    assert "--worker-class" not in command


def test_gunicorn_runs_as_it_comes_and_as_its_documentation_says():
    assert "--workers" not in started(contestants.DEFAULT)
    assert "--workers 5" in started(contestants.DOCUMENTED)
    assert "--workers 9" in started(contestants.DOCUMENTED, cores=4)
    assert "--worker-class gthread --workers 5 --threads 4" in started(contestants.GTHREAD)
    assert "--worker-class gevent --workers 5" in started(contestants.GEVENT)


def test_uwsgi_adapts_by_busyness():
    assert "--cheaper-algo busyness" in started(contestants.UWSGI)


def test_an_asgi_app_is_served_by_every_contestant_that_can():
    assert "--worker-class asgi" in started(contestants.STABLEHAND, ASGI)
    assert "--worker-class asgi --workers 5" in started(contestants.DOCUMENTED, ASGI)
    assert "--interface asgi" in started(contestants.GRANIAN, ASGI)
    for name in (contestants.GTHREAD, contestants.GEVENT, contestants.UWSGI):
        with pytest.raises(NotApplicable, match="ASGI"):
            started(name, ASGI)


def test_static_settings_are_all_said():
    settings = Settings(WorkerClass.GTHREAD, 2, threads=8)
    command = " ".join(contestants.static_command(settings, WSGI, 8000, 9464))

    assert "--worker-class gthread --workers 2 --threads 8 --worker-connections 1000" in command
    assert "--autotune" not in command
    assert contestants.static(settings) == "static gthread 2 × 8"


def test_other_names_are_unknown():
    with pytest.raises(BenchError, match="known are"):
        started("apache")
