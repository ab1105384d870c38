from __future__ import annotations

import grp
import os
import pwd
import re
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give its rights away")
WHO = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getuid()} {os.getgid()} {os.getcwd()}".encode()]
"""


@pytest.mark.parametrize(
    ("files", "flags"),
    [
        ({}, ["--check-config"]),
        ({"hello.py": "import no_such_module\n"}, ["--check-config"]),
        ({"gunicorn.conf.py": "workers = 'many'\n"}, ["--check-config"]),
        ({"gunicorn.conf.py": "workers = (\n"}, ["--check-config"]),
        ({}, ["--check-config", "--no-such-flag"]),
        ({}, ["--version"]),
        ({}, ["--help"]),
    ],
    ids=["good", "app", "value", "syntax", "flag", "version", "help"],
)
def test_a_command_that_only_looks_ends_with_the_same_status_as_gunicorns(run, commands, files, flags):
    statuses = {
        name: run(*flags, command=command, files=files).process.wait(timeout=20) for name, command in commands.items()
    }

    assert statuses["stablehand-server"] == statuses["gunicorn"]


def test_the_configuration_is_printed_as_gunicorn_prints_it_with_our_flags_besides(run, commands):
    printed = {}
    for name, command in commands.items():
        program = run("--print-config", "--workers", "3", "--threads", "2", command=command, bind="127.0.0.1:1234")
        assert program.process.wait(timeout=20) == 0
        lines = program.log().replace(str(program.directory), "HERE").splitlines()
        printed[name] = dict(re.split(r"\s*= ", re.sub(r" at 0x\w+", "", line), maxsplit=1) for line in lines if line)
    theirs, ours = printed["gunicorn"], printed["stablehand-server"]

    assert ours["workers"] == "3"
    assert {name for name in theirs if ours[name] != theirs[name]} == {"control_socket_disable", "worker_tmp_dir"}


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"hello.py": "import no_such_module\n"}, 3),
        ({"hello.py": "nothing = None\n"}, 4),
        ({"gunicorn.conf.py": "def post_fork(server, worker): raise RuntimeError('no')\n"}, 3),
        ({"gunicorn.conf.py": "def on_starting(server): raise RuntimeError('no')\n"}, 1),
        ({"gunicorn.conf.py": "worker_class = 'nonsense'\n"}, 1),
    ],
    ids=["app that cannot be imported", "no app", "hook of a worker", "hook of the master", "worker class"],
)
def test_a_server_that_cannot_start_ends_with_the_same_status_as_gunicorn(run, commands, files, status):
    statuses = {name: run(command=command, files=files).process.wait(timeout=20) for name, command in commands.items()}

    assert statuses == {"gunicorn": status, "stablehand-server": status}


def test_an_address_that_is_taken_ends_the_server_as_it_ends_gunicorn(run, commands):
    taken = f"127.0.0.1:{run().ready().port}"
    programs = {name: run(command=command, bind=taken) for name, command in commands.items()}
    statuses = {name: program.process.wait(timeout=20) for name, program in programs.items()}

    assert statuses["stablehand-server"] == statuses["gunicorn"] == 1


def test_a_daemon_leaves_the_terminal_writes_its_pid_and_ends_with_all_it_has_started(run, until, running):
    program = run("--daemon", "--pid", "pid", "--log-file", "daemon.log", "--workers", "2")
    assert program.process.wait(timeout=20) == 0
    file = program.directory / "pid"
    until(program.get)
    daemon = int(file.read_text())

    assert os.getsid(daemon) != os.getsid(0)
    until(lambda: len(running(program)) == 3)
    os.kill(daemon, signal.SIGTERM)
    until(lambda: not running(program))
    assert not file.exists()


def test_the_pid_file_of_a_running_server_keeps_another_from_starting(run, commands):
    first = run("--pid", "pid").ready()
    assert (first.directory / "pid").read_text().strip() == str(first.process.pid)

    for command in commands.values():
        second = run("--pid", str(first.directory / "pid"), command=command)
        assert second.process.wait(timeout=20) == 1
        assert "Already running on PID" in second.log()
    assert (first.directory / "pid").read_text().strip() == str(first.process.pid)


def test_chdir_is_where_the_app_is_found_and_runs(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hello.py").write_text(WHO)
    program = run("--chdir", str(tmp_path / "elsewhere"), files={"hello.py": "raise RuntimeError\n"}).ready()

    assert program.get().endswith(str(tmp_path / "elsewhere"))


def test_pythonpath_and_env_reach_the_app(run, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("WORD = 'found'\n")
    app = """
import os
import helper

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{helper.WORD} {os.environ['SPECIAL']}".encode()]
"""
    program = run("--pythonpath", str(tmp_path / "lib"), "--env", "SPECIAL=value", files={"hello.py": app}).ready()

    assert program.get() == "found value"


def open_to_others(directory):
    """Let every user read the folder, and pass through those that it lies in, up to one that all may read anyway."""
    for each in (directory, *directory.parents):
        if each.stat().st_mode & 0o005 == 0o005:
            break
        each.chmod(0o755)


@AS_ROOT
def test_the_app_runs_as_the_user_and_group_that_are_asked_for_and_the_master_does_not(run, tmp_path):
    nobody, group = pwd.getpwnam("nobody"), grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    open_to_others(tmp_path)
    flags = ("--user", "nobody", "--group", group)
    program = run(*flags, files={"hello.py": WHO}, bind=None).ready()

    assert program.get().startswith(f"{nobody.pw_uid} {nobody.pw_gid} ")
    assert Path(f"/proc/{program.process.pid}").stat().st_uid == 0


@AS_ROOT
def test_a_reload_and_a_change_of_class_work_for_another_user_too(run, until, tmp_path):
    open_to_others(tmp_path)
    program = run("--user", "nobody", "--settings-file", "settings.json", files={"hello.py": WHO}).ready()
    (program.directory / "settings.json").write_text(
        '{"workerClass": "gthread", "workers": 2, "threads": 3, "workerConnections": 10}'
    )
    until(lambda: program.rolled(1))

    assert program.get().startswith(str(pwd.getpwnam("nobody").pw_uid))
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(2))
    assert program.get()


@pytest.fixture
def paste_file(tmp_path):
    """A file of Paste Deploy that names an app with a setting of its own."""
    (tmp_path / "paste_app.py").write_text(
        "def make(global_conf, word):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [word.encode()]\n"
        "    return app\n"
    )
    file = tmp_path / "app.ini"
    file.write_text("[app:main]\npaste.app_factory = paste_app:make\nword = pasted\n")
    return file


def test_an_app_may_be_named_by_a_file_of_paste_deploy(run, paste_file):
    program = run("--paste", str(paste_file), "--pythonpath", str(paste_file.parent)).ready()

    assert program.get() == "pasted"


@pytest.mark.parametrize("number", ["-1", "many"])
def test_a_bad_number_of_workers_ends_the_command_with_gunicorns_status(run, commands, number):
    statuses = {name: run("-w", number, command=each).process.wait(timeout=20) for name, each in commands.items()}

    assert statuses["stablehand-server"] == statuses["gunicorn"]
