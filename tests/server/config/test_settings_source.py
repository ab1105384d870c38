from __future__ import annotations

import os
import socket

import pytest

from stablehand_server.config.settings_source import SettingsSource
from stablehand_tuner.contracts.settings import InvalidSettings, Settings

GTHREAD = Settings("gthread", 2, 8)
SYNC = Settings("sync", 4)


@pytest.fixture
def paths(tmp_path):
    return [tmp_path / "settings.json", tmp_path / "pod-settings.json"]


@pytest.fixture
def source(paths):
    return SettingsSource(map(str, paths))


def test_a_file_is_reported_once_and_again_only_when_its_content_changes(source, paths):
    paths[0].write_text(SYNC.to_json())

    assert source.poll().wanted().settings == SYNC
    assert source.poll() is None
    paths[0].write_text(SYNC.to_json())
    assert source.poll() is None
    paths[0].write_text(GTHREAD.to_json())
    assert source.poll().wanted().settings == GTHREAD


def test_a_later_file_that_is_taken_away_yields_to_an_earlier_one(source, paths):
    paths[0].write_text(SYNC.to_json())
    common = source.poll()
    paths[1].write_text(GTHREAD.to_json())
    own = source.poll()
    paths[1].write_text("")
    again = source.poll()

    assert source.yields_to_earlier(own, again)
    assert not source.yields_to_earlier(common, own)
    assert not source.yields_to_earlier(common, again)


def test_the_last_file_that_exists_and_is_not_empty_wins(source, paths):
    paths[0].write_text(SYNC.to_json())
    paths[1].write_text(GTHREAD.to_json())
    reading = source.poll()

    assert (reading.path, reading.wanted().settings) == (str(paths[1]), GTHREAD)


@pytest.mark.parametrize("nothing", ["", " \n\t"])
def test_the_file_before_an_emptied_one_applies(source, paths, nothing):
    paths[0].write_text(SYNC.to_json())
    paths[1].write_text(GTHREAD.to_json())
    source.poll()
    paths[1].write_text(nothing)

    assert source.poll().wanted().settings == SYNC


def test_without_any_file_nothing_changes_and_a_file_that_comes_later_is_followed(source, paths):
    assert source.poll() is None
    paths[0].write_text(SYNC.to_json())
    assert source.poll().wanted().settings == SYNC
    paths[0].unlink()
    assert source.poll() is None
    paths[0].write_text(GTHREAD.to_json())
    assert source.poll().wanted().settings == GTHREAD


def test_a_file_that_vanished_and_came_back_unchanged_is_no_change(source, paths):
    paths[0].write_text(SYNC.to_json())
    source.poll()
    paths[0].unlink()
    source.poll()
    paths[0].write_text(SYNC.to_json())

    assert source.poll() is None


def test_the_swap_of_a_link_as_kubernetes_does_it_is_seen(tmp_path):
    for version, settings in (("one", SYNC), ("two", GTHREAD)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "settings.json").write_text(settings.to_json())
    data = tmp_path / "..data"
    data.symlink_to("one")
    (tmp_path / "settings.json").symlink_to("..data/settings.json")
    source = SettingsSource([str(tmp_path / "settings.json")])
    source.poll()
    (tmp_path / "..data_tmp").symlink_to("two")
    os.replace(tmp_path / "..data_tmp", data)  # noqa: PTH105 (the call itself is what the kubelet does)

    assert source.poll().wanted().settings == GTHREAD


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"workerClass": "sync", ', "not JSON"),
        (b"\x80\x00\xff binary", "not UTF-8"),
        (b" " * 70_000 + b"{}", "longer than"),
        (b"x" * 1_000_000, "longer than"),
        (b"[1, 2]", "object"),
        (b"[" * 60_000, "nested|not JSON"),  # from Python 3.14 on, how deep it reads depends on the stack
    ],
)
def test_a_file_without_valid_settings_is_reported_once_with_its_error(source, paths, content, fault):
    paths[0].write_bytes(content)
    reading = source.poll()

    with pytest.raises(InvalidSettings, match=fault):
        reading.wanted()
    assert source.poll() is None


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.timeout(10)  # a pipe could be waited for without end
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (make_pipe, "cannot be read: it is no regular file"),
        (make_socket, "cannot be read: No such device or address"),
        (lambda path: path.symlink_to("/dev/zero"), "cannot be read: it is no regular file"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: Input/output error"),
    ],
)
def test_what_cannot_be_read_as_a_file_is_a_fault_not_an_error(tmp_path, make, fault):
    path = tmp_path / "settings.json"
    make(path)
    reading = SettingsSource([str(path)]).poll()

    with pytest.raises(InvalidSettings, match=fault):
        reading.wanted()


def test_a_path_below_a_file_is_a_file_that_is_not_there(tmp_path):
    (tmp_path / "file").write_text("x")

    assert SettingsSource([str(tmp_path / "file" / "settings.json")]).poll() is None
