from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

LONGEST_RUN_SECONDS = 300
PROCESSES = "4"  # the tests wait more than they compute


@pytest.mark.timeout(LONGEST_RUN_SECONDS + 150)
def test_gunicorns_own_tests_pass_on_our_arbiter_applications_and_workers(suite, run_suite, capsys):
    arguments = ["--ignore=tests/docker", "--numprocesses", PROCESSES, "--dist=loadfile", "--tb=short", "-rfE"]
    run = run_suite(suite, *arguments, seconds=LONGEST_RUN_SECONDS)
    summary = run.stdout.strip().rpartition("\n")[2]
    with capsys.disabled():
        print(f"\ngunicorn's own tests: {summary}")  # noqa: T201 (how many is what a reader wants to know)

    assert run.returncode == 0, run.stdout[-20_000:]
    passed = re.search(r"(\d+) passed", summary)
    assert passed, summary
    assert int(passed[1]) > 2700  # those of gunicorn 27.0.1; fewer mean that they were not found


@pytest.fixture
def small_suite(tmp_path, monkeypatch):
    """Return a directory for a test of our own in place of gunicorn's, and write it with a list of exceptions."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")

    def write(test: str, exceptions: str = "failing: {}\nracing: {}\nskipping: {}\n"):
        (tmp_path / "test_it.py").write_text(f"import pytest\n\n\ndef test_it():\n    {test}\n")
        (tmp_path / "exceptions.yaml").write_text(exceptions)
        monkeypatch.setenv("SUITE_EXCEPTIONS", str(tmp_path / "exceptions.yaml"))
        return tmp_path

    return write


FAILING = "failing: {'test_it.py::test_it': a reason}\nracing: {}\nskipping: {}\n"


@pytest.mark.parametrize(
    ("test", "exceptions", "succeeds"),
    [
        ("pass", "failing: {}\nracing: {}\nskipping: {}\n", True),
        ("assert False", "failing: {}\nracing: {}\nskipping: {}\n", False),
        ("assert False", FAILING, True),
        ("pass", FAILING, False),
        ("pytest.skip('no such thing here')", FAILING.replace("test_it.py::test_it", "other.py::test_it"), False),
        ("pytest.skip('no such thing here')", "failing: {}\nracing: {}\nskipping: {no such thing: a reason}\n", True),
        ("pass", FAILING.replace("test_it.py::test_it", "test_it.py::test_gone"), False),
    ],
    ids=["passes", "fails", "fails as listed", "passes though listed", "skips", "skips as listed", "listed, not there"],
)
def test_a_run_fails_unless_each_exception_is_listed_and_true(small_suite, run_suite, test, exceptions, succeeds):
    run = run_suite(small_suite(test, exceptions))

    assert (run.returncode == 0) is succeeds, run.stdout


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('gunicorn.arbiter').arbiter.Arbiter.__mro__[1].__module__ == 'stablehand_server.master.arbiter'",
        "'stablehand_server' in __import__('gunicorn.app.wsgiapp').app.wsgiapp.WSGIApplication.__module__",
        "'stablehand_server' in __import__('gunicorn.app.base').app.base.BaseApplication.__module__",
        "'--metrics-bind' in __import__('subprocess').Popen(['python', '-m', 'gunicorn', '--version']).args",
    ],
)
def test_the_tests_meet_ours_where_they_look_for_gunicorns(small_suite, run_suite, expression):
    assert run_suite(small_suite(f"assert {expression}")).returncode == 0


def test_no_process_outlives_a_run(small_suite, run_suite, tmp_path):
    command = "['sleep', '600'], start_new_session=True"
    run_suite(small_suite(f"open('pid', 'w').write(str(__import__('subprocess').Popen({command}).pid))"))

    pid = int((tmp_path / "pid").read_text())
    assert not runs(pid)


def runs(pid: int) -> bool:
    """Tell whether a process still runs, within a few seconds; one that nobody has buried yet does not."""
    for _ in range(100):
        try:
            if not Path(f"/proc/{pid}/cmdline").read_bytes():
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False
        time.sleep(0.05)
    return True
