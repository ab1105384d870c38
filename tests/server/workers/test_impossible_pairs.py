from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

ONLY_WSGI = [("sync", 1), ("gthread", 4), ("gevent", 1), ("eventlet", 1), ("tornado", 1)]


@pytest.mark.parametrize("settings", ONLY_WSGI, ids=lambda each: each[0])
def test_an_asgi_app_under_a_class_that_cannot_serve_it_ends_the_start_with_a_sentence(start, settings):
    server = start("-k", settings[0], "--threads", str(settings[1]), app="asgi_serving:app")

    assert server.process.wait(timeout=20) != 0
    sentence = f"the app is an ASGI app, which worker class {settings[0]} cannot serve: use asgi"
    assert sentence in server.log()
    assert sentence in server.termination_log.read_text()


def test_settings_that_pair_an_asgi_app_with_another_class_are_rolled_back_while_the_old_ones_serve(launch, until):
    server = launch("-k", "asgi", "--workers", "2", app="asgi_serving:app")
    before = server.workers()
    with server.load(16) as load:
        for count, (worker_class, threads) in enumerate(ONLY_WSGI, 1):
            server.write(
                f'{{"workerClass": "{worker_class}", "workers": 2, "threads": {threads}, "workerConnections": 100}}'
            )
            until(lambda count=count: server.switches("rolled_back") == count)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert result.completed > 0
    assert server.workers() == before
    assert server.log().count("cannot serve: use asgi") >= len(ONLY_WSGI)
