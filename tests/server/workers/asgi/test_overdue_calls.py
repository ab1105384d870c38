from __future__ import annotations

import logging
from types import SimpleNamespace

from stablehand_server.workers.asgi.overdue_calls import OverdueCalls


class Call(SimpleNamespace):
    """One of the bridge's."""

    __hash__ = object.__hash__


def test_a_call_beyond_the_limit_is_noticed_once_hung_up_once_and_then_all_that_is_left():
    told = []
    call = Call(began=100.0, request=None, hang_up=lambda: told.append("hung up"))
    waiting = Call(began=None, request=None, hang_up=None)
    calls = {call: None, waiting: None}
    bridge = SimpleNamespace(calls=calls, do_without=told.append)
    overdue = OverdueCalls(bridge, 5.0, logging.getLogger("test"))
    assert [overdue.look(now) for now in (104.0, 106.0, 107.0)] == [0, 1, 1]
    for now in (108.0, 109.0):
        overdue.hang_up(now)
    assert told == [1, "hung up"]
    assert not overdue.only_these_are_left(110.0), "one has not begun"
    del calls[waiting]
    assert overdue.only_these_are_left(110.0)
    assert not OverdueCalls(bridge, 0.0, logging.getLogger("test")).look(1e6)
