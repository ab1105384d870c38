from __future__ import annotations

import io

import pytest
from rich.console import Console

from stablehand_server.autotune.scrape import scrape
from stablehand_server.autotune.table import LiveTable, render
from stablehand_server.autotune.view import View
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.observe.observation import observe
from stablehand_tuner.reasons import Reason


def text(renderable):
    console = Console(file=io.StringIO(), width=140)
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

    assert row == ["gthread", "2", "16", "32", "32.0", "1%", "320.0", "100", "ms", "Backlog"]
    assert "apply gthread 2 × 32  connections wait" in shown


def test_a_missing_scrape_is_shown_as_unknown(view):
    missing = View(None, None, view.decision, (), is_news=False)

    assert text(render(missing)).splitlines()[3].split() == [*["–"] * 8, "Backlog"]


def test_the_cursor_is_there_while_the_table_is_drawn(view):
    output = io.StringIO()
    LiveTable(Console(file=output, force_terminal=True, width=140)).show(view)
    hidden, shown = "\x1b[?25l", "\x1b[?25h"

    assert output.getvalue().rindex(shown) > output.getvalue().rindex(hidden)
