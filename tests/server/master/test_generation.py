from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from gunicorn.config import Config
from gunicorn.workers.base import Worker

from stablehand_server.master import generation as generations
from stablehand_server.master.generation import Unusable
from stablehand_server.workers.sync import SyncWorker
from stablehand_tuner.contracts.settings import Settings, WorkerClass

LOG = logging.getLogger(__name__)
GTHREAD = Settings("gthread", 2, 8, 500)


def configured(**settings):
    config = Config()
    for name, value in settings.items():
        config.set(name, value)
    return config


def from_settings(settings, base=None):
    return generations.from_settings(base or configured(), settings, 7, "a file", LOG)


def test_settings_are_laid_over_the_configuration_and_leave_it_as_it_was():
    base = configured(workers=5, keepalive=9)
    generation = from_settings(GTHREAD, base)
    config = generation.config

    assert (config.worker_class_str, config.workers, config.threads) == ("gthread", 2, 8)
    assert (config.worker_connections, config.keepalive) == (500, 9)
    assert (base.worker_class_str, base.workers, base.threads) == ("sync", 5, 1)
    assert generation.base is base
    assert (generation.number, generation.workers, generation.origin) == (7, 2, "a file")


@pytest.mark.parametrize("worker_class", WorkerClass)
def test_every_class_of_the_contract_is_run_by_one_of_ours(worker_class):
    generation = from_settings(Settings(worker_class, 2))

    assert generation.worker_class.__module__.startswith(f"stablehand_server.workers.{worker_class.value}")
    assert generation.config.worker_class_str == worker_class.value


@pytest.mark.parametrize("worker_class", WorkerClass)
def test_gunicorns_own_flag_names_every_class_of_the_contract_too(worker_class):
    generation = generations.from_configuration(configured(worker_class=worker_class.value), 1, LOG)

    assert generation.worker_class.__module__.startswith(f"stablehand_server.workers.{worker_class.value}")
    assert issubclass(generation.config.worker_class, Worker)


def test_the_master_never_imports_eventlet_which_warns_at_each_fork_from_then_on():
    code = (
        "import sys; from gunicorn.config import Config; from stablehand_server import workers;"
        "config = Config(); config.set('worker_class', 'eventlet'); workers.implementation(config);"
        "sys.exit('eventlet' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_eventlet_its_class_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "stablehand_server.workers.eventlet", raising=False)
    with pytest.raises(Unusable, match=r"^workerClass eventlet cannot be used: .*stablehand-server\[eventlet\]"):
        from_settings(Settings("eventlet", 2))


def test_a_class_whose_library_is_missing_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gevent", None)
    monkeypatch.delitem(sys.modules, "stablehand_server.workers.gevent", raising=False)
    expected = r"^workerClass gevent cannot be used: .*pip install 'stablehand-server\[gevent\]' brings it$"
    with pytest.raises(Unusable, match=expected) as refusal:
        from_settings(Settings("gevent", 2))
    assert "\n" not in str(refusal.value)


def test_an_unknown_class_in_the_configuration_is_refused_in_one_line():
    with pytest.raises(Unusable, match=r"^workerClass nonsense cannot be used: ") as refusal:
        generations.from_configuration(configured(worker_class="nonsense"), 1, LOG)
    assert "\n" not in str(refusal.value)


def test_a_class_that_refuses_its_configuration_is_refused_here():
    class Picky(SyncWorker):
        @classmethod
        def check_config(cls, *_):
            raise SystemExit("needs a licence")

    with pytest.raises(Unusable, match="needs a licence"):
        generations.from_configuration(configured(worker_class=Picky), 1, LOG)


def test_gunicorns_own_classes_are_run_by_ours():
    assert generations.from_configuration(configured(), 1, LOG).worker_class is SyncWorker
    threaded = generations.from_configuration(configured(threads=4), 1, LOG)
    assert threaded.settings == Settings("gthread", 1, 4)
    assert threaded.worker_class.__module__ == "stablehand_server.workers.gthread.worker"


def test_numbers_beyond_the_contract_run_by_flags_but_are_no_settings():
    generation = generations.from_configuration(configured(workers=1000), 1, LOG)

    assert generation.settings is None
    assert generation.workers == 1000
    assert str(generation) == "sync 1000"


@pytest.mark.parametrize(
    ("running", "wanted", "in_place"),
    [
        (GTHREAD, Settings("gthread", 9, 8, 500), True),
        (GTHREAD, Settings("gthread", 2, 4, 500), True),
        (GTHREAD, Settings("gthread", 2, 9, 501), True),
        (GTHREAD, Settings("gthread", 2, 9, 499), True),
        (GTHREAD, Settings("sync", 2, 1, 500), False),
        (Settings("sync", 2, 1, 500), Settings("sync", 3, 1, 1000), True),
        (Settings("gevent", 2, 1, 500), Settings("gevent", 2, 8, 500), True),
        (Settings("gevent", 2, 1, 500), Settings("gevent", 2, 1, 499), True),
        (Settings("gevent", 2, 1, 500), Settings("gevent", 2, 1, 600), True),
        (Settings("eventlet", 2, 1, 500), Settings("eventlet", 2, 1, 600), True),
        (Settings("tornado", 2, 1, 500), Settings("tornado", 1, 9, 500), True),
        (Settings("tornado", 2, 1, 500), Settings("tornado", 2, 1, 600), False),
        (Settings("tornado", 2, 1, 500), Settings("tornado", 2, 1, 400), False),
        (Settings("asgi", 2, 4, 500), Settings("asgi", 2, 8, 600), True),
        (Settings("asgi", 2, 4, 500), Settings("asgi", 2, 3, 400), True),
    ],
)
def test_processes_stay_where_the_settings_differ_only_in_what_they_make_no_use_of_or_change_while_they_serve(
    running, wanted, in_place
):
    assert from_settings(running).runs_in_place(wanted) is in_place


def test_a_class_of_the_users_own_never_runs_settings_in_place():
    class Own(SyncWorker):
        pass

    assert not generations.from_configuration(configured(worker_class=Own), 1, LOG).runs_in_place(Settings("sync", 1))


def test_another_number_of_workers_is_the_same_generation():
    generation = from_settings(GTHREAD)
    more = generation.with_workers(3)

    assert (more.number, more.workers, more.config.workers, more.settings.workers) == (7, 3, 3, 3)
    assert (generation.workers, generation.config.workers) == (2, 2)


def test_an_error_is_described_by_its_cause_and_not_by_gunicorns_exit():
    exit_ = SystemExit(1)
    exit_.__context__ = SyntaxError("'(' was never closed")

    assert generations.fault_in_words(exit_) == "'(' was never closed"


def test_an_exit_without_an_error_is_described_by_its_code():
    assert generations.fault_in_words(SystemExit(3)) == "it ends the process by SystemExit(3)"


def test_an_error_without_a_text_is_described_by_its_type():
    assert generations.fault_in_words(KeyError()) == "KeyError"
