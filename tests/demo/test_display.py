"""What the demonstration shows, on a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from stablehand_dev.demo.display import Display, latency
from stablehand_dev.demo.figures import compare, show
from stablehand_dev.demo.reading import Decided, Reading
from stablehand_dev.load import FailureExample, Latencies, LoadResult, Second
from stablehand_tuner.contracts.settings import Settings, WorkerClass

SYNC = Settings(WorkerClass.SYNC, workers=1)
GTHREAD = Settings(WorkerClass.GTHREAD, workers=2, threads=49)
APPLY = Decided("apply", "gthread 2 × 49", "63 connections wait")


def console(*, terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=150, color_system=None)


def second(at, completed, latency_seconds):
    measured = Latencies()
    for _ in range(completed):
        measured.record(latency_seconds)
    return Second(at, completed, 0, measured)


def load(rate):
    return LoadResult(seconds=1, completed=rate)


def test_each_settings_keep_a_row_of_their_own_and_the_last_one_moves():
    screen = console(terminal=True)
    display = Display(screen)
    with display.shown():
        display.show(1, Reading(settings=SYNC, slots=1), load(9), 0)
        display.show(2, Reading(settings=SYNC, slots=1), load(10), 0)
        display.show(9, Reading(settings=GTHREAD, slots=98, decisions=(APPLY,)), load(480), 0)
    assert [row.load.completed for row in display._rows] == [10, 480]
    shown = screen.file.getvalue()
    for expected in ("sync", "gthread", "98", "480.0", "63 connections wait"):
        assert expected in shown


def test_what_is_measured_in_the_midst_of_a_change_belongs_to_no_row_but_its_decision_is_shown():
    display = Display(console(terminal=False))
    display.show(0, Reading(), load(8), 0)
    display.show(1, Reading(settings=SYNC, slots=1), load(10), 0)
    display.show(2, Reading(settings=SYNC, slots=99, decisions=(APPLY,)), load(370), 0)
    display.show(3, Reading(settings=None, slots=99, decisions=(APPLY,)), load(200), 0)
    (row,) = display._rows
    assert (row.since, row.reading.settings, row.reading.slots, row.load.completed) == (0, SYNC, 1, 10)
    assert row.reading.decisions == (APPLY,)


def test_without_a_terminal_a_line_comes_every_few_seconds_and_each_decision_once_and_at_once():
    screen = console(terminal=False)
    display = Display(screen)
    with display.shown():
        for elapsed in range(11):
            decisions = (APPLY,) if elapsed >= 3 else ()
            display.show(elapsed, Reading(settings=SYNC, decisions=decisions), load(10), 0)
    lines = screen.file.getvalue().splitlines()
    assert sum("class sync" in line for line in lines) == 3
    assert [line for line in lines if "63 connections wait" in line] == [
        "   3 s  apply gthread 2 × 49: 63 connections wait"
    ]


def test_latency_is_said_in_the_unit_that_suits_it():
    assert [latency(seconds) for seconds in (None, 0.1304, 6.44)] == ["–", "130 ms", "6.4 s"]


def test_before_and_after_are_measured_apart_and_the_transition_belongs_to_neither():
    series = [second(at, 10, 6.0) for at in range(10)]
    series += [second(at, 200, 1.0) for at in range(10, 12)]
    series += [second(at, 480, 0.13) for at in range(12, 22)]
    whole = LoadResult(seconds=22.0, completed=sum(each.completed for each in series), series=series)
    figures = compare(whole, first_change=10.4, settled=12.3, first=SYNC, last=GTHREAD)
    assert figures.before.requests_per_second == 10
    assert figures.after.requests_per_second == 480
    assert figures.gain == 48


def test_figures_name_both_settings_the_gain_and_every_failure():
    series = [second(at, 10, 6.0) for at in range(10)] + [second(at, 480, 0.13) for at in range(10, 20)]
    whole = LoadResult(20.0, 4900, series=series, examples=[FailureExample(3.2, "reset", "by peer")])
    whole.failures["reset"] = 1
    screen = console(terminal=False)
    show(screen, compare(whole, 10, 10, SYNC, GTHREAD))
    text = screen.file.getvalue()
    for expected in ("sync 1", "gthread 2 × 49", "48.0 times", "1 failed", "at 3.2 s, reset: by peer"):
        assert expected in text
