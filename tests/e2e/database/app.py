"""One connection to the database for each thread, kept, and a query of 20 ms; PGHOST says where the database is."""

import threading

import psycopg

_local = threading.local()


def app(environ, start_response):
    """Query the database."""
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect("user=app dbname=postgres connect_timeout=5", autocommit=True)
    _local.connection.execute("SELECT pg_sleep(0.02)")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
