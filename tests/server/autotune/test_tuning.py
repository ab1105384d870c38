from __future__ import annotations

import dataclasses
import json
import logging

import pytest

from stablehand_server.autotune import files, policy, tuning
from stablehand_server.autotune.scrape import ScrapeFailed, scrape
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action
from stablehand_tuner.model.known import Known
from stablehand_tuner.reasons import Reason

START = 1_800_000_000.0  # Unix time


class Run:
    """A tuner, its fake server, and a clock that nobody waits for."""

    def __init__(self, fake, address, directory, memory_bytes=None):
        self.fake = fake
        self.memory_bytes = memory_bytes
        self.address = address
        self.settings_path = directory / "settings.json"
        self.state_path = directory / "state.json"
        self.seconds = 0.0
        self.views = []
        self.memory_kills = {"/sys/fs/cgroup/app": 3}
        self.restart()

    def restart(self, app="/srv shop:app"):
        """Begin with another tuner, that knows only what the files say."""
        self.tuning = tuning.Tuning(
            policy.DEFAULT,
            self.settings_path,
            self.state_path,
            lambda at: scrape(self.address, at),
            ScrapeFailed,
            app=app,
            memory_bytes=self.memory_bytes,
            memory_kills=lambda: dict(self.memory_kills),
        )
        self.tuning.learn_from_last_run(START + self.seconds)

    def tick(self):
        """Let the server follow its file, time pass, and the tuner go one round."""
        if self.settings_path.is_file():
            self.fake.settings = Settings.from_json(self.settings_path.read_text())
        interval = tuning.scrape_interval(policy.DEFAULT)
        self.fake.pass_time(interval)
        self.seconds += interval
        view = self.tuning.tick(self.seconds, START + self.seconds)
        self.views.append(view)
        return view

    def until(self, condition, seconds):
        """Tick until a view is as wanted."""
        until = self.seconds + seconds
        while self.seconds < until:
            view = self.tick()
            if view is not None and condition(view):
                return view
        decisions = [view and (view.decision.action, view.decision.message) for view in self.views]
        raise AssertionError(f"not within {seconds} s: {decisions}")


@pytest.fixture
def run(fake, address, tmp_path):
    return Run(fake, address, tmp_path)


def test_an_app_that_waits_is_tuned_within_30_seconds_of_load(run):
    kept = run.until(lambda view: view.decision.action is Action.KEEP, 30)

    assert kept.decision.settings.worker_class == "gthread"
    assert kept.decision.settings.slots >= 50
    assert run.fake.settings == kept.decision.settings
    assert kept.observation.requests_per_second > 10 * 10


def test_without_a_limit_of_memory_what_the_machine_has_left_is_the_limit(fake, address, tmp_path):
    run = Run(fake, address, tmp_path, memory_bytes=2e9)
    view = run.until(lambda view: view.observation is not None, 25)

    assert view.observation.memory_limit_bytes == 2e9


def test_the_tighter_limit_of_memory_counts(fake, address, tmp_path):
    run = Run(fake, address, tmp_path, memory_bytes=2e9)
    fake.memory_limit_bytes = 1e9
    view = run.until(lambda view: view.observation is not None, 25)

    assert view.observation.memory_limit_bytes == 1e9


def test_where_the_memory_is_unknown_there_is_no_limit(run):
    view = run.until(lambda view: view.observation is not None, 25)

    assert view.observation.memory_limit_bytes is None


def test_once_tuned_it_stays_so(run):
    run.until(lambda view: view.decision.action is Action.KEEP, 30)
    settled = run.fake.settings
    for _ in range(100):
        view = run.tick()
        assert view.decision.action is Action.HOLD

    assert run.fake.settings == settled


def test_a_run_that_the_kernel_ended_for_its_memory_while_it_tried_a_change_takes_the_change_back(run, caplog):
    run.until(lambda view: view.decision.reason is Reason.TRIAL_RUNNING, 30)
    run.tick()
    tried = run.tuning.state.desired
    assert tried.slots > 1
    run.memory_kills["/sys/fs/cgroup/app"] += 4
    run.restart()

    assert Settings.from_json(run.settings_path.read_text()).worker_class is WorkerClass.SYNC
    assert run.tuning.state.known.memory_ceiling == tried.slots
    assert "killed this server for want of memory while it ran" in caplog.text
    learnt = run.tuning.state
    run.restart()
    assert run.tuning.state == learnt, "it is held against the settings once"


def test_a_run_that_was_ended_for_its_memory_with_settings_that_were_kept_starts_smaller(run):
    kept = run.until(lambda view: view.decision.action is Action.KEEP, 30).decision.settings
    run.tick()
    run.memory_kills = {"/sys/fs/cgroup/app": 0, "/sys/fs/cgroup": 9}
    run.restart()
    assert run.tuning.state.desired == kept, "other cgroups, and one that was made anew, tell nothing"
    run.tick()
    run.tick()
    run.memory_kills["/sys/fs/cgroup"] = 12
    run.restart()

    smaller = Settings.from_json(run.settings_path.read_text())
    assert smaller.slots <= kept.slots // 2
    assert run.until(lambda view: view.decision.action is Action.KEEP, 10).decision.settings == smaller


@pytest.mark.parametrize(
    "text", ["[]", "{", "{}", '{"lastRun": 7}', '{"lastRun": {"settings": {}, "memoryKills": {}}}']
)
def test_a_state_without_what_ran_last_is_no_reason_to_change(run, text):
    run.state_path.write_text(text)
    run.memory_kills["/sys/fs/cgroup/app"] += 1
    run.restart()

    assert not run.settings_path.exists()


def test_the_state_is_kept_before_the_settings_are_written(run, monkeypatch):
    order = []
    real = files.replace

    def replace(path, text):
        order.append((path.name, json.loads(text).get("phase", {}).get("name")))
        real(path, text)

    monkeypatch.setattr(files, "replace", replace)
    run.until(lambda view: view.decision.action is Action.APPLY, 25)

    assert order[-2:] == [("state.json", "climbing"), ("settings.json", None)]


def test_nothing_is_written_to_the_server_while_the_state_cannot_be_kept(run, caplog):
    run.state_path.mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            assert run.tick() is None

    assert not run.settings_path.exists()
    assert caplog.text.count("state cannot be written") == 1  # not in each round: that would fill a disk


def test_a_state_that_can_be_kept_again_is_logged_and_the_next_fault_too(run, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            run.state_path.mkdir()
            for _ in range(3):
                run.tick()
            run.state_path.rmdir()
            run.tick()
            run.state_path.unlink()

    assert caplog.text.count("state cannot be written") == 2
    assert caplog.text.count("state can be written again") == 2


def test_a_successor_finishes_the_change_that_was_begun(run):
    applied = run.until(lambda view: view.decision.action is Action.APPLY, 25)
    run.settings_path.unlink()  # as if the end had come between state and settings
    run.restart()
    kept = run.until(lambda view: view.decision.action is Action.KEEP, 30)

    assert run.fake.settings == kept.decision.settings
    assert kept.decision.settings.slots > applied.decision.settings.slots == 2, "it is the first step of a climb"


def test_what_was_held_against_classes_is_forgotten_with_another_app(run):
    run.until(lambda view: view.decision.action is Action.KEEP, 60)
    known = Known({WorkerClass.GEVENT: Reason.TRIAL_LAG})
    banned = dataclasses.replace(run.tuning.state, known=known)
    run.state_path.write_text(json.dumps(banned.to_mapping()))

    run.restart()
    assert run.tuning.state.known.banned == {WorkerClass.GEVENT: Reason.TRIAL_LAG}
    run.restart("/srv other:app")
    assert run.tuning.state.known.banned == {}
    assert run.tuning.state.desired == banned.desired


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 99}', "\0"])
def test_a_corrupt_state_is_logged_and_the_tuner_starts_afresh(run, caplog, damage):
    run.state_path.write_text(damage)
    with caplog.at_level(logging.WARNING):
        run.restart()

    assert str(run.state_path) in caplog.text
    assert "starts afresh" in caplog.text
    run.until(lambda view: view.decision.action is Action.KEEP, 30)


def test_a_failing_scrape_is_missing_data_and_logged_once(run, caplog):
    run.until(lambda view: view.decision.reason is Reason.COLLECTING, 10)
    run.fake.status = 500
    with caplog.at_level(logging.INFO):
        views = [run.tick() for _ in range(10)]
        assert {view.decision.reason for view in views} == {Reason.DATA_MISSING}
        assert caplog.text.count("No metrics to tune by") == 1
        assert "answers with status 500" in caplog.text
        assert not run.settings_path.exists()
        run.fake.status = 200
        run.until(lambda view: view.decision.action is Action.APPLY, 25)

    assert "metrics to tune by again" in caplog.text


def test_a_server_that_rejects_the_settings_gets_the_old_ones_back(run):
    before = run.fake.settings
    run.until(lambda view: view.decision.action is Action.APPLY, 25)
    run.fake.rejected = 1
    run.fake.pass_time(1.0)
    run.tuning.tick(run.seconds + 1.0, START + run.seconds + 1.0)

    assert Settings.from_json(run.settings_path.read_text()) == before


def test_a_decision_that_is_repeated_until_it_is_done_is_news_once(run, monkeypatch):
    applied = run.until(lambda view: view.decision.action is Action.APPLY, 25)
    assert applied.is_news
    again = run.tuning.tick(run.seconds + 0.5, START + run.seconds + 0.5)  # the server has not followed yet

    assert again.decision.action is Action.APPLY
    assert not again.is_news


def test_the_log_has_one_line_for_each_decision_with_settings_reason_and_numbers(run, caplog):
    log = tuning.Log()
    with caplog.at_level(logging.INFO):
        for _ in range(40):
            view = run.tick()
            if view is not None:
                log.show(view)
    lines = [record.getMessage() for record in caplog.records]

    applied, *steps = [line for line in lines if line.startswith("apply")]
    assert applied.startswith("apply gthread 2 × 1: ")
    assert applied.endswith(("[Backlog]", "[WaitingDominates]"))
    assert all(line.endswith("[NextStep]") for line in steps)
    assert len([line for line in lines if line.startswith("keep")]) == 1
    assert len(lines) <= 10 + len(steps)


def test_settings_that_cannot_be_written_are_logged_and_tried_again(run, caplog):
    run.settings_path.mkdir()
    with caplog.at_level(logging.ERROR):
        for _ in range(20):
            view = run.tuning.tick(run.seconds, START + run.seconds)
            run.seconds += 1.0
            run.fake.pass_time(1.0)
        assert view.decision.action is Action.APPLY
    assert caplog.text.count("cannot be written") == 1
    run.settings_path.rmdir()
    with caplog.at_level(logging.INFO):
        run.tuning.tick(run.seconds, START + run.seconds)

    assert "The settings can be written again" in caplog.text
    assert Settings.from_json(run.settings_path.read_text()) == view.decision.settings


def test_the_windows_decide_how_often_is_scraped():
    assert tuning.scrape_interval(policy.DEFAULT) == 1.0
    slow, _ = policy.from_environment(environ={policy.VARIABLE: '{"windows": {"decisionSeconds": 60}}'})
    assert tuning.scrape_interval(slow) == 2.0
