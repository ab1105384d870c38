from __future__ import annotations

import pytest

from stablehand_server.autotune import files
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "settings.json"
    files.replace(path, "one")
    first = path.stat().st_ino
    files.replace(path, "two")

    assert path.read_text() == "two"
    assert path.stat().st_ino != first
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_the_same_text_is_not_written_again(tmp_path):
    path = tmp_path / "settings.json"
    files.replace(path, "one")
    first = path.stat()
    files.replace(path, "one")

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "settings.json"
    files.replace(path, "one")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fdopen", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(path, "two")

    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_survives_the_round_trip(tmp_path):
    path = tmp_path / "state.json"
    state = TunerState(Watching(Settings("gthread", 2, 8)), warm_up=WarmUp(5.0, 7.0))
    files.write_state(path, state)

    assert files.read_state(path) == state
    assert files.read_state(None) == files.read_state(tmp_path / "none") == TunerState()
