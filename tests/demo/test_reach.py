"""Getting from this machine to an app in the cluster."""

from __future__ import annotations

import socket
import sys

import pytest

from stablehand_dev.demo import reach
from stablehand_dev.errors import DevelopmentError

FORWARDER = "import signal; print('Forwarding from 127.0.0.1:54321 -> 8000', flush=True); signal.pause()"
FAILING = "import sys; print('error: no pod is running', file=sys.stderr); sys.exit(1)"


class FakeCluster:
    """A cluster whose kubectl is a Python program of the test's."""

    def __init__(self, program):
        self._program = program

    def kubectl_command(self):
        """The program."""
        return [sys.executable, "-c", self._program]

    def kubectl(self, *_args):
        """A Service at a port where nobody listens."""
        with socket.socket() as unused:  # bound, not listening
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        return f'{{"spec": {{"clusterIP": "127.0.0.1", "ports": [{{"port": {port}}}]}}}}'


def test_a_service_that_this_machine_cannot_reach_is_reached_by_a_forwarded_port():
    with reach.url_of(FakeCluster(FORWARDER), "shop", "web") as url:
        assert url == "http://127.0.0.1:54321/"


def test_a_forward_that_fails_says_what_kubectl_said():
    with pytest.raises(DevelopmentError, match="no pod is running"), reach.url_of(FakeCluster(FAILING), "shop", "web"):
        pass


def test_a_service_that_answers_is_asked_directly():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reach.answers(*server.getsockname())
