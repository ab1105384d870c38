from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.integration

PLAIN = "wsgi_app = 'serving:app'\n"


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "gunicorn.conf.py"
    path.write_text(PLAIN)
    return path


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("preload_app = True\nwsgi_app = 'no_such_module:app'\n", "No module named 'no_such_module'"),
        (PLAIN + "raw_env = ['no value']\n", "environment setting 'no value' invalid"),
    ],
)
def test_a_configuration_that_fails_only_when_it_is_used_is_refused_too(launch, until, configuration, content, fault):
    server = launch(app=f"--config={configuration}")
    workers = server.workers()

    configuration.write_text(content)
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("rejected") == 1)
    assert fault in server.log()
    assert server.workers() == workers
    assert server.get()[0] == 200


@pytest.mark.parametrize(
    "content",
    [
        "def on_reload(server):\n    raise ValueError('a hook of the user')\n",
        "pidfile = '/proc/no/such/folder/pid'\n",
    ],
)
def test_what_fails_beside_the_workers_does_not_stop_a_reload(launch, until, configuration, content):
    server = launch(app=f"--config={configuration}")
    configuration.write_text(PLAIN + "workers = 2\n" + content)
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1 and server.settled(2))
    assert "Part of the reload failed" in server.log()


def test_a_reload_may_begin_to_preload_the_app(launch, until, configuration):
    server = launch(app=f"--config={configuration}")
    configuration.write_text(PLAIN + "preload_app = True\n")
    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1 and server.settled(1))
    assert server.get()[0] == 200
