from __future__ import annotations

import errno
import os

import pytest

from stablehand_server.workers.common import accepting


class Log:
    """What was logged as an error."""

    def __init__(self):
        self.lines = []

    def error(self, line, *arguments):
        """Keep a line."""
        self.lines.append(line % arguments)


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test sets it forward."""
    now = [1000.0]
    monkeypatch.setattr(accepting.time, "monotonic", lambda: now[0])
    return now


def error(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPROTO])
def test_an_accept_that_fails_is_tried_again_after_a_pause(log, clock, number):
    errors = accepting.AcceptErrors(log)
    assert errors.pause() == 0.0
    errors.note(error(number))

    assert 0.0 < errors.pause() <= accepting.PAUSE_SECONDS
    clock[0] += accepting.PAUSE_SECONDS
    assert errors.pause() == 0.0


def test_nobody_to_accept_is_no_error(log, clock):
    errors = accepting.AcceptErrors(log)
    errors.note(error(errno.EAGAIN))
    errors.note(error(errno.ECONNABORTED))

    assert errors.pause() == 0.0
    assert not log.lines
    assert clock


def test_an_error_that_repeats_itself_is_logged_now_and_then_with_its_number(log, clock):
    errors = accepting.AcceptErrors(log)
    for _ in range(41):
        errors.note(error(errno.EMFILE))
        clock[0] += 0.5

    assert len(log.lines) == 3
    assert log.lines[0].startswith("Cannot accept a connection, trying again:")
    assert "(19 more times since the last such line)" in log.lines[1]
