from __future__ import annotations

import types

import pytest

from stablehand_server.measure.app_runs import AppRuns
from stablehand_server.measure.persistent_connections import keeps_connections

POSTGRES = "django.db.backends.postgresql"


def django(*databases, configured=True):
    settings = types.SimpleNamespace(
        configured=configured, DATABASES={str(place): each for place, each in enumerate(databases)}
    )
    return {"django.conf": types.SimpleNamespace(settings=settings)}


@pytest.mark.parametrize(
    ("database", "keeps"),
    [
        ({"ENGINE": POSTGRES}, False),
        ({"ENGINE": POSTGRES, "CONN_MAX_AGE": 0}, False),
        ({"ENGINE": POSTGRES, "CONN_MAX_AGE": 60}, True),
        ({"ENGINE": POSTGRES, "CONN_MAX_AGE": None}, True),
        ({"ENGINE": POSTGRES, "CONN_MAX_AGE": 60, "OPTIONS": {"pool": True}}, False),
        ({"ENGINE": "django.db.backends.sqlite3", "CONN_MAX_AGE": 60}, False),
        ({}, False),
    ],
)
def test_django_keeps_a_connection_for_each_thread_where_it_is_told_to(database, keeps):
    assert keeps_connections(django(database)) == keeps
    assert keeps_connections(django({"ENGINE": POSTGRES}, database)) == keeps


def test_settings_that_nobody_has_loaded_are_not_loaded():
    class Unloaded:
        configured = False

        @property
        def DATABASES(self):  # noqa: N802 (Django's name)
            raise AssertionError("loaded")

    assert not keeps_connections({"django.conf": types.SimpleNamespace(settings=Unloaded())})


@pytest.mark.parametrize("modules", [{}, {"django.conf": None}, django("odd"), django(3)])
def test_what_is_not_django_as_expected_keeps_nothing(modules):
    assert not keeps_connections(modules)


def test_it_is_one_of_the_things_that_the_app_runs():
    app = AppRuns(django({"ENGINE": POSTGRES, "CONN_MAX_AGE": 60}), watches_loops=False)
    app.look()

    assert "persistent_connections" in app.found
