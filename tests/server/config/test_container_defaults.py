from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stablehand_server import cli
from stablehand_server.config import container_defaults, flags
from stablehand_server.config.container_defaults import WORKER_BYTES, Resources, found
from stablehand_server.linux.cgroup import Cgroup, Hierarchy

GIBIBYTE = 1024**3


def resources(cores, memory_bytes=64 * GIBIBYTE, *, limited=True):
    return Resources(cores, cores_limited=limited, memory_bytes=memory_bytes, memory_limited=limited)


@pytest.mark.parametrize(("cores", "workers"), [(0.1, 1), (0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (16.0, 16)])
def test_auto_is_a_worker_for_each_core_begun(cores, workers):
    assert resources(cores).workers == workers


@pytest.mark.parametrize(("room_for", "workers"), [(0.5, 1), (1.0, 1), (2.9, 2), (100.0, 4)])
def test_auto_is_no_more_than_memory_has_room_for_but_at_least_one(room_for, workers):
    assert resources(4.0, room_for * WORKER_BYTES).workers == workers


def test_without_a_limit_of_cores_a_large_machine_does_not_mean_many_workers():
    assert resources(128.0, limited=False).workers == 8
    assert resources(4.0, limited=False).workers == 4


@pytest.mark.parametrize(
    ("limit_cores", "limit_bytes", "cores", "memory_bytes", "limited"),
    [
        (2.0, 1.0 * GIBIBYTE, 2.0, 1.0 * GIBIBYTE, (True, True)),
        (None, None, 64.0, 256.0 * GIBIBYTE, (False, False)),
        (500.0, 1024.0 * GIBIBYTE, 64.0, 256.0 * GIBIBYTE, (False, False)),  # more than there is limits nothing
    ],
)
def test_limits_count_where_they_are_tighter_than_the_machine(limit_cores, limit_bytes, cores, memory_bytes, limited):
    seen = found(limit_cores, limit_bytes, cores=64, memory_bytes=256.0 * GIBIBYTE)

    assert (seen.cores, seen.memory_bytes) == (cores, memory_bytes)
    assert (seen.cores_limited, seen.memory_limited) == limited


def test_the_log_says_what_was_found_and_where():
    assert str(found(1.5, None, cores=8, memory_bytes=GIBIBYTE)) == (
        "1.5 cores (the cgroup's limit), 1024 MiB of memory (the machine's, no limit)"
    )


@pytest.mark.parametrize(("group", "said"), [("1\n", True), ("0\n", False), (None, False)])
def test_the_log_says_where_one_process_without_memory_ends_all(tmp_path, group, said):
    if group is not None:
        (tmp_path / "memory.oom.group").write_text(group)
    warning = container_defaults.warning_of_memory(Cgroup({"": Hierarchy(tmp_path, tmp_path, 2)}))

    assert (warning is not None) == said
    assert warning is None or str(tmp_path) in warning


@pytest.fixture
def two_workers_suit(monkeypatch):
    """A cgroup for two workers."""
    monkeypatch.setattr(container_defaults, "of_this_process", lambda: resources(2.0))


def test_the_flag_takes_numbers_and_auto(two_workers_suit):
    assert flags.number_of_workers("auto") == flags.number_of_workers(" AUTO ") == 2
    assert flags.number_of_workers("5") == flags.number_of_workers(5) == 5
    for wrong in ("many", "-1", "1.5"):
        with pytest.raises(ValueError, match=r"many|positive|1.5"):
            flags.number_of_workers(wrong)


def test_the_variable_is_a_number_when_gunicorn_and_the_app_read_it(two_workers_suit, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    container_defaults.resolve_variable()

    assert container_defaults.os.environ["WEB_CONCURRENCY"] == "2"


@pytest.mark.parametrize("value", [None, "7", " 7\n", "+7", "1_0", "0"])
def test_any_other_variable_is_left_alone(two_workers_suit, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    else:
        monkeypatch.setenv("WEB_CONCURRENCY", value)
    container_defaults.resolve_variable()

    assert container_defaults.os.environ.get("WEB_CONCURRENCY") == value


@pytest.mark.parametrize("value", ["many", "", "-1", "1.5"])
def test_a_variable_that_is_neither_ends_the_start_with_what_is_wrong(monkeypatch, value):
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    monkeypatch.setattr(sys, "argv", ["stablehand-server", "shop:app"])
    with pytest.raises(SystemExit, match="must be a number of workers, or auto"):
        cli.main()


@pytest.mark.integration
@pytest.mark.parametrize("flags", [(), ("--workers", "auto")])
def test_a_server_says_what_it_found_and_runs_accordingly(launch, flags):
    server = launch(*flags, WEB_CONCURRENCY="auto" if not flags else "7")

    suits = container_defaults.of_this_process()
    assert f"Found {suits}" in server.log()
    assert server.active()[1] == suits.workers


@pytest.mark.integration
def test_a_number_on_the_command_line_wins_over_the_variable(launch):
    assert launch("--workers", "3", WEB_CONCURRENCY="auto").active()[1] == 3


@pytest.mark.integration
def test_an_images_default_holds_where_nothing_else_says_how_many(launch):
    server = launch(STABLEHAND_WORKERS="auto")

    assert server.active()[1] == container_defaults.of_this_process().workers


@pytest.mark.integration
def test_every_other_setting_takes_precedence_over_an_images_default(launch):
    assert launch(STABLEHAND_WORKERS="4", WEB_CONCURRENCY="3").active()[1] == 3


def test_an_images_default_that_is_no_number_ends_the_start_with_what_is_wrong(monkeypatch):
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setenv("STABLEHAND_WORKERS", "many")
    with pytest.raises(SystemExit, match="STABLEHAND_WORKERS is 'many', but must be a number of workers, or auto"):
        container_defaults.resolve_variable()


def test_the_images_say_how_many_workers_by_a_variable_that_no_other_server_reads():
    dockerfile = (Path(__file__).parents[3] / "Dockerfile").read_text()

    assert "ENV STABLEHAND_WORKERS=auto" in dockerfile
    assert "ENV WEB_CONCURRENCY" not in dockerfile
