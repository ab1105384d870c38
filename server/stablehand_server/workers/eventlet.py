"""A worker for eventlet, which gunicorn had until version 25: for apps that need it, not for new ones.

The master never imports eventlet, which warns at every fork from then on: only a worker does, and patches the standard
library before it loads the app.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.sockets import ssl_wrap_socket
from stablehand_server.workers.common.accepting import AcceptErrors
from stablehand_server.workers.common.green import GreenWorker
from stablehand_server.workers.common.own_listeners import left_behind

if TYPE_CHECKING:
    from collections.abc import Callable

if importlib.util.find_spec("eventlet") is None:
    raise ModuleNotFoundError("No module named 'eventlet'", name="eventlet")


class EventletWorker(GreenWorker):
    """A green thread for each connection."""

    _hub: Any = None

    def init_process(self) -> None:
        """Patch the standard library, and then boot as any other class does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that eventlet is deprecated: users who choose it know
            import eventlet  # noqa: PLC0415 (never in the master)
            import eventlet.hubs  # noqa: PLC0415
            import eventlet.semaphore  # noqa: PLC0415

            self.monkey_patches.before_own("eventlet")
            eventlet.monkey_patch()
            self.monkey_patches.watch(eventlet, "monkey_patch")
        self._eventlet = eventlet
        self._accepted = 0
        self._too_many = 0  # connections: their places are given to nobody when they end
        self._accept_errors = AcceptErrors(self.log)
        self._room = eventlet.semaphore.Semaphore(self.worker_connections)
        self.cfg.set("sendfile", False)  # a green socket cannot: the file is read and sent instead
        super().init_process()

    def start_accepting(self) -> None:
        """Accept from each listener in a green thread."""
        self._hub = self._eventlet.hubs.get_hub()
        self._acceptors = [self._eventlet.spawn(self._accept_from, each, each.getsockname()) for each in self.sockets]

    def become_apps_child(self) -> None:
        """Leave listeners and connections to the worker: eventlet's hub would share its epoll with it."""
        super().become_apps_child()
        shared: Any = getattr(self._hub, "poll", None)
        if type(shared).__name__ == "epoll":  # the others are the process's own; eventlet hides the type
            shared.close()
            self._hub.poll = type(shared)()  # where whoever waits from now on is registered

    def stop_accepting(self) -> None:
        """End the green threads that accept."""
        if self.is_apps_child:
            return
        for acceptor in self._acceptors:
            self._eventlet.kill(acceptor)
        for listener, client, address in left_behind(self.cfg, self.sockets):
            self._room.acquire()
            self._begin(listener, listener.getsockname(), client, address)

    def count_accepted(self) -> int:
        """Return how many green threads serve."""
        return self._accepted

    def abandon_connections(self) -> None:
        """Do nothing: the process exits next, which ends them."""

    def resize(self, threads: int, worker_connections: int) -> None:
        """Take more or fewer connections."""
        del threads
        for _ in range(worker_connections - self.worker_connections):
            self._make_room()
        for _ in range(self.worker_connections - worker_connections):
            if not self._room.acquire(blocking=False):
                self._too_many += 1
        self.worker_connections = worker_connections

    def _make_room(self) -> None:
        if self._too_many:
            self._too_many -= 1
        else:
            self._room.release()

    def pause(self, seconds: float) -> None:
        """Sleep as a green thread."""
        self._eventlet.sleep(seconds)

    def let_others_run(self) -> None:
        """Return when the hub has polled every socket."""
        self._eventlet.sleep(0)

    def wait_until_readable(self, fileno: int, seconds: float) -> None:
        """Wait as a green thread."""
        self._eventlet.hubs.trampoline(fileno, read=True, timeout=seconds, timeout_exc=TimeoutError)

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Spawn a green thread that is not waited for."""
        self._eventlet.spawn_n(function, *arguments)

    def secured(self, client: Any) -> Any:
        """Return eventlet's own TLS socket."""
        return ssl_wrap_socket(client, self.cfg)

    def timeout_ctx(self) -> Any:
        """Return the timer by which gunicorn limits the wait for a request under HTTP/2."""
        return self._eventlet.Timeout(self.cfg.keepalive, False)

    def notify(self) -> None:
        """Send a heartbeat, and exit if the master has ended."""
        super().notify()
        if self.is_apps_child and self.forking.dead:
            sys.exit(0)
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Quit from a green thread: gunicorn sleeps on the way, which is impossible in the hub itself."""
        self._eventlet.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """Reopen the logs from a green thread: their locks are green too."""
        self._eventlet.spawn(super().handle_usr1, sig, frame)

    def is_already_handled(self, respiter: Any) -> bool:
        """Return whether the app has taken over the connection, as eventlet's websockets do."""
        wsgi = sys.modules.get("eventlet.wsgi")
        if wsgi is not None and getattr(wsgi.WSGI_LOCAL, "already_handled", False):
            return True
        return bool(super().is_already_handled(respiter))

    def _accept_from(self, listener: Any, name: Any) -> None:
        green = self._eventlet
        listener.setblocking(False)
        while True:
            green.hubs.trampoline(listener.fileno(), read=True)
            self._room.acquire()
            try:
                client, address = listener.accept()
            except OSError as error:
                self._make_room()
                self._accept_errors.note(error)
                green.sleep(self._accept_errors.pause())
                continue
            self._begin(listener, name, client, address)

    def _begin(self, listener: Any, name: Any, client: Any, address: Any) -> None:
        self._accepted += 1
        self._eventlet.spawn_n(self._serve_and_make_room, listener, name, client, address)

    def _serve_and_make_room(self, listener: Any, name: Any, client: Any, address: Any) -> None:
        try:
            self.serve(listener, name, self._eventlet.greenio.GreenSocket(client), address)
        finally:
            self._accepted -= 1
            self._make_room()
