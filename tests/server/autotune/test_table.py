from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console

from stablehand_server.autotune.scrape import scrape
from stablehand_server.autotune.table import NewsTable, render
from stablehand_server.autotune.view import View
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.observe.observation import observe
from stablehand_tuner.reasons import Reason


def text(renderable, width=140):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture
def view(fake, address):
    fake.settings = Settings("gthread", 2, 16)
    earlier = scrape(address, 0.0)
    fake.pass_time(10.0)
    observation = observe(earlier, scrape(address, 10.0))
    applied = Decision(Action.APPLY, Reason.BACKLOG, "connections wait", Settings("gthread", 2, 32))
    return View(observation.settings_active, observation, applied, (applied,), is_news=True)


def test_the_table_shows_what_runs_how_it_does_and_why(view):
    shown = text(render(view))
    row = shown.splitlines()[3].split()

    assert row == ["gthread", "2", "16", "32", "32.0", "1%", "320.0", "100", "ms"]
    assert "apply gthread 2 × 32  connections wait [Backlog]" in shown


def test_a_missing_scrape_is_shown_as_unknown(view):
    missing = View(None, None, view.decision, (), is_news=True)

    assert text(render(missing)).splitlines()[3].split() == ["–"] * 8


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_nothing_is_cut_on_a_narrow_terminal(view, width):
    words = "63 connections wait in the kernel; 100% of a request is waiting and none of it is work of a core"
    decision = dataclasses.replace(view.decision, message=words)
    shown = text(render(dataclasses.replace(view, decision=decision)), width)
    letters = "".join(shown.split())

    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines())
    assert "".join(words.split()) in letters
    assert "[Backlog]" in letters
    if width == 80:
        for heading in ("class", "workers", "threads", "slots", "busy", "CPU share", "requests/s", "p99"):
            assert heading in shown


def test_only_news_is_printed_and_the_cursor_never_moves(view):
    output = io.StringIO()
    table = NewsTable(Console(file=output, force_terminal=True, width=140))
    for is_news in (True, False, True):
        table.show(dataclasses.replace(view, is_news=is_news))
    plain = re.sub("\x1b\\[[0-9;]*m", "", output.getvalue())  # colours are no harm

    assert plain.count("connections wait") == 2
    assert "\x1b" not in plain
    assert "\r" not in plain
