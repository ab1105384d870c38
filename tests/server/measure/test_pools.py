from __future__ import annotations

import gc
import types

import pytest

from stablehand_server.measure.pools import Pools


class Queue:
    """The pool of SQLAlchemy, as far as it is looked at."""

    def __init__(self, size=5, overflow=10, checked_out=0, waiters=0):
        self._max_overflow = overflow
        self._size = size
        self.out = checked_out
        self._pool = types.SimpleNamespace(not_empty=types.SimpleNamespace(_waiters=[None] * waiters))

    def size(self):
        """Return how many connections it keeps."""
        return self._size

    def checkedout(self):
        """Return how many are in use."""
        return self.out


class ConnectionPool:
    """The pool of psycopg_pool, as far as it is looked at."""

    def __init__(self, most=4, size=4, available=1, waiting=2):
        self.stats = {"pool_max": most, "pool_size": size, "pool_available": available, "requests_waiting": waiting}

    def get_stats(self):
        """Return the numbers."""
        return self.stats


class SQLAlchemy:
    """Its two modules: each new connection of a pool is an event."""

    def __init__(self):
        self.listeners = []
        self.modules = {
            "sqlalchemy.pool": types.SimpleNamespace(Pool=Queue),
            "sqlalchemy.event": types.SimpleNamespace(listen=self.listen),
        }

    def listen(self, target, name, listener):
        """Keep a listener of the class of all pools."""
        assert (target, name) == (Queue, "connect")
        self.listeners.append(listener)

    def connect(self, pool):
        """Make a connection for a pool."""
        for listener in self.listeners:
            listener(object(), types.SimpleNamespace(_ConnectionRecord__pool=pool))


@pytest.fixture
def logged():
    return []


@pytest.fixture
def log(logged):
    return lambda message, *arguments: logged.append(message % arguments)


def looks(pools, count=100):
    for _ in range(count):
        found = pools.look()
    return found


def test_an_app_without_a_known_library_has_no_pools(log, logged):
    pools = Pools({}, log)
    pools.find()

    assert (pools.look(), logged) == ({}, [])


def test_a_pool_of_sqlalchemy_is_known_from_its_first_connection(log):
    library, pool = SQLAlchemy(), Queue(5, 10, checked_out=3, waiters=2)
    pools = Pools(library.modules, log)
    pools.find()
    assert pools.look() == {}
    library.connect(pool)

    use = looks(pools)["sqlalchemy"]
    assert (use.size, use.in_use, use.waiting) == (15, pytest.approx(3, rel=0.01), 2)


def test_the_events_of_sqlalchemy_are_asked_for_once(log):
    library = SQLAlchemy()
    pools = Pools(library.modules, log)
    pools.find()
    pools.find()

    assert len(library.listeners) == 1


@pytest.mark.parametrize("pool", [Queue(overflow=-1), Queue(size=0, overflow=0), types.SimpleNamespace()])
def test_a_pool_without_a_limit_is_none(log, logged, pool):
    library = SQLAlchemy()
    pools = Pools(library.modules, log)
    pools.find()
    library.connect(pool)

    assert (pools.look(), logged) == ({}, [])


def test_of_several_pools_the_tightest_counts_and_all_who_wait(log):
    library, pools_of_app = SQLAlchemy(), [Queue(5, 0, 1, 1), Queue(10, 0, 9, 4), Queue(3, 0, 0)]
    pools = Pools(library.modules, log)
    pools.find()
    for each in pools_of_app:
        library.connect(each)

    use = looks(pools)["sqlalchemy"]
    assert (use.size, use.in_use, use.waiting) == (10, pytest.approx(9, rel=0.01), 5)


def test_a_pool_that_is_gone_is_forgotten(log):
    library, pool = SQLAlchemy(), Queue()
    pools = Pools(library.modules, log)
    pools.find()
    library.connect(pool)
    del pool
    gc.collect()

    assert pools.look() == {}


def test_a_pool_of_psycopg_is_found_as_a_global_name_and_in_django(log):
    library = types.SimpleNamespace(ConnectionPool=ConnectionPool)
    for holder in (
        {"shop.db": types.SimpleNamespace(pool=ConnectionPool(), other=3)},
        {
            "django.db.backends.postgresql.base": types.SimpleNamespace(
                DatabaseWrapper=types.SimpleNamespace(_connection_pools={"default": ConnectionPool()})
            )
        },
    ):
        pools = Pools({"psycopg_pool": library, "odd": None, **holder}, log)
        pools.find()

        use = looks(pools)["psycopg_pool"]
        assert (use.size, use.in_use, use.waiting) == (4, pytest.approx(3, rel=0.01), 2)


def test_a_library_that_is_not_as_expected_is_logged_once_and_left_alone(log, logged):
    class Other(ConnectionPool):
        def get_stats(self):
            """Fail, as another version might."""
            raise RuntimeError("no such thing")

    library, holder = types.SimpleNamespace(ConnectionPool=Other), types.SimpleNamespace(pool=Other())
    pools = Pools({"psycopg_pool": library, "shop.db": holder}, log)
    for _ in range(3):
        pools.find()
        assert pools.look() == {}

    assert logged == ["The pools of psycopg_pool are not observed: RuntimeError: no such thing"]


def test_an_event_that_is_not_as_expected_does_no_harm_to_the_connection(log, logged):
    library = SQLAlchemy()
    pools = Pools(library.modules, log)
    pools.find()
    library.listeners[0](object(), object())
    library.listeners[0](object(), object())

    assert len(logged) == 1
    assert "sqlalchemy" in logged[0]
