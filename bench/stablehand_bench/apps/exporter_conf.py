"""gunicorn's configuration for gunicorn-prometheus-exporter, with the hooks that its documentation recommends.

Version 0.2.4 replaces the arbiter's queue of signals by a list, with which gunicorn 27 ends at once
("'list' object has no attribute 'get'"). To have it beside the others, gunicorn's own queue is put back here.
"""

from __future__ import annotations

from gunicorn.arbiter import Arbiter
from gunicorn_prometheus_exporter import hooks
from gunicorn_prometheus_exporter.master import PrometheusMaster

PrometheusMaster.init_signals = Arbiter.init_signals
PrometheusMaster.signal = Arbiter.signal

on_exit = hooks.default_on_exit
on_starting = hooks.default_on_starting
post_fork = hooks.default_post_fork
when_ready = hooks.default_when_ready
worker_int = hooks.default_worker_int
