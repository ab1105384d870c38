"""A WSGI app under the asgi class: it runs in a pool of threads, and gets the same as under gunicorn's gthread.

The environ, the body and the response are gunicorn's own. Over HTTP/1 an `Outlet` writes the response's bytes to the
client's connection; over HTTP/2 and uWSGI's protocol, which gunicorn offers only to ASGI apps, it is sent like theirs.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
import threading
import time
import weakref
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import Body, NoMoreData, current_create
from stablehand_server.measure.asgi import SOCKET_KEY
from stablehand_server.workers.asgi.bridged_body import AwaitedBody
from stablehand_server.workers.asgi.bridged_request import BridgedRequest
from stablehand_server.workers.asgi.message_response import MessageOutlet, MessageResponse
from stablehand_server.workers.asgi.thread_pool import ThreadPool
from stablehand_server.workers.common import app_forks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

_SECONDS_BETWEEN_TRIES = 1.0  # to start a thread that could not be started
_SECONDS_BETWEEN_WARNINGS = 10.0
_CLIENT_HAS_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class Call:
    """One request of a WSGI app: what its thread needs, and the callback in the loop for its end.

    `make_request` is called in the thread, and may raise gunicorn's errors for refused requests; `ended` is called with
    whether the connection can be kept; `hang_up` ends the connection.
    """

    __slots__ = (
        "began",
        "client",
        "ended",
        "hang_up",
        "is_last",
        "make_request",
        "outlet",
        "pending",
        "request",
        "response",
        "server",
        "thread",
    )

    def __init__(
        self,
        *,
        make_request: Callable[[], BridgedRequest],
        outlet: Any,
        client: Any,
        server: Any,
        is_last: bool,
        ended: Callable[[bool], None],
        hang_up: Callable[[], None],
        response: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.make_request = make_request
        self.outlet = outlet
        self.client = client
        self.server = server
        self.is_last = is_last
        self.ended = ended
        self.hang_up = hang_up
        self.response = response
        self.request: BridgedRequest | None = None
        self.pending: Callable[[], Any] | None = None  # a weak reference to what the pool keeps until it has ended
        self.thread: threading.Thread | None = None
        self.began: float | None = None  # on time.monotonic()'s clock, as soon as a thread has it


class Bridge:
    """Serves as many requests at once as it has threads."""

    def __init__(self, app: Callable[..., Any], worker: Any) -> None:
        self._app = app
        self._worker = worker
        self._threads: int = worker.cfg.threads
        self._stuck = 0
        self._pool = ThreadPool(self._threads, "wsgi")
        self.calls: dict[Call, None] = {}  # in the order in which they arrived; used by the loop only
        self._is_short = False  # a thread could not be started
        self._try_again_at = self._warn_at = 0.0

    def prepare(self) -> None:
        """Start the first thread; the others follow when they are needed.

        Raises:
            RuntimeError: when no thread can be started: nothing would ever be served.
        """
        self._pool.submit(_nothing)

    def serve(self, call: Call) -> None:
        """Serve a request in a thread, as soon as one is free."""
        self.calls[call] = None
        with self._short_of_threads():
            call.pending = weakref.ref(self._pool.submit(self._serve, call))

    @contextlib.contextmanager
    def _short_of_threads(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # the limit on processes: the existing threads do the work
            self._is_short = True
            now = time.monotonic()
            self._try_again_at = now + _SECONDS_BETWEEN_TRIES
            if now >= self._warn_at:
                self._warn_at = now + _SECONDS_BETWEEN_WARNINGS
                self._worker.log.warning("No further thread can be started (%s); the others serve", error)

    @property
    def is_full(self) -> bool:
        """Whether the next request would wait for a thread."""
        return len(self.calls) - self._stuck - self._pool.excused >= self._threads

    def resize(self, threads: int) -> None:
        """Let the pool have more or fewer threads."""
        self._threads = threads
        self._resize()

    def do_without(self, stuck: int) -> None:
        """Let the pool start other threads in place of those that are stuck."""
        self._stuck = max(stuck, self._stuck)
        self._resize()

    def end(self) -> None:
        """Let the threads end that serve nothing."""
        self._pool.end()

    def replace_ended(self) -> None:
        """Let the pool replace threads that an exception has ended outside of a request, and end what they had taken.

        Those that could not be started before are tried again, and those replaced that serve for long what they did
        when their number fell.

        An app may raise one in another thread, whose request has been served meanwhile. A pool does without the thread.
        """
        now = time.monotonic()
        if self._is_short and now >= self._try_again_at:
            self._is_short = False
            self._start_missing()
        with self._short_of_threads():
            if self._pool.replace_detained(now):
                self._worker.thread_freed()
        ended = self._pool.take_ended()
        if not ended:
            return
        self._worker.log.error("%d threads were ended by an exception and are replaced", len(ended))
        for call in tuple(self.calls):
            is_lost = call.thread is None and call.pending is not None and call.pending() is None
            if is_lost or call.thread in ended:
                call.hang_up()
                self._ended(call, False)
        self._start_missing()

    def _start_missing(self) -> None:
        with self._short_of_threads():
            self._pool.start_missing()

    def _resize(self) -> None:
        with self._short_of_threads():
            self._pool.resize(self._threads + self._stuck)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request as an ASGI app does, for HTTP/2 and uWSGI's protocol."""
        if scope["type"] != "http":
            raise ValueError(f"a WSGI app knows no {scope['type']}")
        loop = self._worker.loop
        over: asyncio.Future[bool] = loop.create_future()
        number = 1 if scope["http_version"] == "2" else 0

        def make_request() -> BridgedRequest:
            major, _, minor = scope["http_version"].partition(".")
            uri = scope["raw_path"].decode("latin-1")
            if scope["query_string"]:
                uri += "?" + scope["query_string"].decode("latin-1")
            return BridgedRequest(
                self._worker.cfg,
                method=scope["method"],
                uri=uri,
                version=(int(major), int(minor or 0)),
                scheme=scope["scheme"],
                peer=scope["client"],
                headers=[(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in scope["headers"]],
                body=Body(AwaitedBody(receive, loop)),
                number=number,
            )

        def ended(_keep: bool) -> None:  # noqa: FBT001 (a callback)
            if not over.done():
                over.set_result(True)

        self.serve(
            Call(
                make_request=make_request,
                outlet=MessageOutlet(scope.pop(SOCKET_KEY, None), send, loop),
                client=scope["client"] or "",
                server=scope["server"] or "",
                is_last=False,
                ended=ended,
                hang_up=lambda: ended(False),
                response={"response_class": MessageResponse, "response_args": (send, loop)},
            )
        )
        await over

    # In a thread ------------------------------------------------------------------------------------------------------

    def _serve(self, call: Call) -> None:
        call.thread = threading.current_thread()
        call.began = time.monotonic()
        keep = False
        try:
            keep = self._handle(call)
        finally:
            if self._worker.is_apps_child:
                app_forks.end_without_main_thread()
            with contextlib.suppress(RuntimeError):  # the loop has ended: the worker did not wait longer
                self._worker.loop.call_soon_threadsafe(self._ended, call, keep)

    def _ended(self, call: Call, keep: bool) -> None:  # noqa: FBT001 (a callback)
        if call not in self.calls:
            return  # its thread was ended just now
        del self.calls[call]
        call.ended(keep)
        self._worker.thread_freed()

    def _handle(self, call: Call) -> bool:
        log = self._worker.log
        try:
            call.request = call.make_request()
            return self._handle_request(call, call.request)
        except NoMoreData as error:
            log.debug("Ignored premature client disconnection. %s", error)
        except StopIteration as error:
            log.debug("Closing connection. %s", error)
        except ssl.SSLError as error:  # the app's own: the loop speaks TLS with the client
            if error.args[0] == ssl.SSL_ERROR_EOF:
                log.debug("ssl connection closed")
            else:
                self._worker.handle_error(call.request, call.outlet, call.client, error)
        except OSError as error:
            if error.errno in _CLIENT_HAS_GONE:
                log.debug("The client has gone: %s", error)
            else:
                log.exception("Socket error processing request.")
        except BaseException as error:
            if self._worker.is_apps_child:
                raise  # the end of a process that the request has forked: the answer is the worker's
            # A SystemExit of the app: the client gets an answer, the thread stays.
            self._worker.handle_error(call.request, call.outlet, call.client, error)
        return False

    def _handle_request(self, call: Call, request: BridgedRequest) -> bool:
        worker = self._worker
        cfg, log = worker.cfg, worker.log
        environ: dict[str, Any] = {}
        response: Any = None
        try:
            cfg.pre_request(worker, request)
            started = datetime.now()  # noqa: DTZ005 (for a difference, which gunicorn's log wants)
            create = current_create()
            response, environ = create(request, call.outlet, call.client, call.server, cfg, **call.response)
            environ["wsgi.multithread"] = True
            if call.is_last or worker.is_leaving or not cfg.keepalive:
                response.force_close()
            body = self._app(environ, response.start_response)
            try:
                if isinstance(body, environ["wsgi.file_wrapper"]):
                    response.write_file(body)
                else:
                    for item in body:
                        response.write(item)
                response.close()
            finally:
                log.access(response, request, environ, datetime.now() - started)  # noqa: DTZ005 (as above)
                if hasattr(body, "close"):
                    body.close()
            return not response.should_close()
        except OSError:
            raise
        except (Exception, SystemExit):
            if response is not None and response.headers_sent:
                log.exception("Error handling request")  # an error response would be taken for the rest of this one
                return False
            raise
        finally:
            try:
                cfg.post_request(worker, request, environ, response)
            except Exception:  # the user's own code
                log.exception("Exception in post_request hook")


def _nothing() -> None:
    """Do nothing, in a thread."""
