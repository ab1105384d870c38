"""Every name of gunicorn's that the server imports, calls, replaces or reads, with its shape.

What a subclass of gunicorn's classes replaces, calls or reads of them is found in its code, and so is what is asked of
a configuration. What the server asks of gunicorn's other objects, whose class its code does not name, is listed here.
"""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from stablehand_dev.gunicorn_uses import shapes
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

SERVER = "stablehand_server"
GUNICORN = "gunicorn"
_GATEWAY = REPOSITORY / "server" / SERVER / "gunicorn_internals"
_SPECIAL = frozenset({"__init__", "__next__"})  # other names of this kind are the language's own
# What configurations are called in the server.
_CONFIGURATION = ("cfg", "_cfg", "config", "_config", "base", "running", "wanted", "reloaded", "scratch")
# Of objects that gunicorn makes and the server is given.
_OF_OTHERS = {
    "gunicorn.arbiter.Arbiter": "LISTENERS WORKERS app cfg log pid pidfile setup",
    "gunicorn.app.base.BaseApplication": "callable cfg wsgi",
    "gunicorn.app.wsgiapp.WSGIApplication": "app_uri",
    "gunicorn.asgi.lifespan.LifespanManager": "shutdown startup",
    "gunicorn.asgi.parser.CallbackRequest": "_expect_100_continue chunked content_length headers headers_bytes"
    " may_upgrade method path query raw_path scheme uri version",
    "gunicorn.asgi.parser.PythonProtocol": "_buffer is_complete proxy_protocol_info remaining"
    " remaining_truncated reset",
    "gunicorn.asgi.protocol.BodyReceiver": "_closed _complete buffered feed receive set_complete signal_disconnect",
    "gunicorn.asgi.protocol.FlowControl": "drain",
    "gunicorn.asgi.websocket.WebSocketProtocol": "feed_data run",
    "gunicorn.glogging.Logger": "access critical debug error exception info reopen_files warning",
    "gunicorn.http.body.Body": "failed reader",
    "gunicorn.http.body.ChunkedReader": "parser read",
    "gunicorn.http.body.LengthReader": "length read",
    "gunicorn.http.message.Request": "body headers proxy_protocol_info should_close version",
    "gunicorn.http.parser.Parser": "__next__ unreader",
    "gunicorn.http.unreader.Unreader": "buf take_buffered unread",
    "gunicorn.http.wsgi.Response": "close force_close headers headers_sent sent should_close start_response status"
    " write write_file",
    "gunicorn.pidfile.Pidfile": "create unlink",
    "gunicorn.sock.BaseSocket": "cfg_addr close sock",
    "gunicorn.workers.gthread.PollableMethodQueue": "defer fileno run_callbacks",
    "gunicorn.workers.gthread.TConn": "client close data_ready parser sock",
    "gunicorn.workers.workertmp.WorkerTmp": "close last_update",
}


def found() -> dict[str, str]:
    """Return the shape of each name that gunicorn has; one that it has no longer is missing.

    Where a name that the server imports is missing, the server cannot be imported: then the imported names are all.
    """
    imported = dict(_imported())
    present = {name: shape for name, shape in imported.items() if shape is not None}
    if len(present) < len(imported):
        return present
    return {**present, **dict(_of_others()), **dict(_of_configurations()), **dict(_of_subclasses())}


def imported() -> frozenset[str]:
    """Return the names that the server imports."""
    return frozenset(dict(_imported()))


def _imported() -> Iterator[tuple[str, str | None]]:
    for path in sorted(_GATEWAY.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == GUNICORN:
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", _of_name(str(node.module), alias.name)


def _of_name(module: str, name: str) -> str | None:
    try:
        return shapes.of_value(getattr(importlib.import_module(module), name))
    except AttributeError:
        return "module" if _is_module(f"{module}.{name}") else None
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return False
    return True


def _of_others() -> Iterator[tuple[str, str]]:
    for place, names in _OF_OTHERS.items():
        of = _class_at(place)
        if of is not None:
            yield from _members(of.__mro__, names.split())


def _class_at(place: str) -> type[Any] | None:
    module, _, name = place.rpartition(".")
    found: type[Any] | None = getattr(importlib.import_module(module), name, None) if _is_module(module) else None
    return found


def _of_configurations() -> Iterator[tuple[str, str]]:
    config: type[Any] = importlib.import_module("gunicorn.config").Config
    # One of the server's may stand in the place of one of gunicorn's: it is a subclass of that.
    settings = {
        name
        for name, each in config().settings.items()
        if any(_is_of(base, GUNICORN) and base.__name__ != "Setting" for base in type(each).__mro__)
    }
    for module in _modules():
        names = shapes.attributes_of(shapes.tree_of(module.__name__), _CONFIGURATION)
        yield from _members(config.__mro__, names)
        yield from ((f"gunicorn's setting {name}", "setting") for name in names & settings)


def _of_subclasses() -> Iterator[tuple[str, str]]:
    for classes in _subclasses():
        ours = [each for each in classes if _is_of(each, SERVER)]
        yield from _members(classes, {name for each in ours for name in _of_class(each)})
    for module in _modules():
        for value in _classes_in(module):
            if _is_of(value, GUNICORN):  # is called, or asked by its name: Arbiter.WORKER_BOOT_ERROR
                asked = shapes.attributes_of(shapes.tree_of(module.__name__), (value.__name__,))
                yield from _members(value.__mro__, {"__init__", *asked})


def _of_class(of: type[Any]) -> set[str]:
    return {
        *vars(of),
        *shapes.attributes_of(shapes.tree_of_class(of.__module__, of.__name__), ("self", "cls", "super()")),
    }


def _subclasses() -> Iterator[Sequence[type[Any]]]:
    """Return each subclass of gunicorn's classes with its bases: the server's, and what it makes of others' classes."""
    from gunicorn.workers import ggevent, gthread, sync  # noqa: PLC0415 (it loads gevent)

    others: Any = importlib.import_module(f"{SERVER}.workers.others")
    for chosen in (sync.SyncWorker, gthread.ThreadWorker, ggevent.GeventWorker, ggevent.GeventPyWSGIWorker):
        yield others.measured_class(chosen).__mro__[1:]
    for module in _modules():
        for value in _classes_in(module):
            if value.__module__ == module.__name__:
                yield value.__mro__


def _classes_in(module: ModuleType) -> list[type[Any]]:
    return [value for value in vars(module).values() if isinstance(value, type)]


def _members(classes: Iterable[type[Any]], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    theirs = [each for each in classes if _is_of(each, GUNICORN)]
    for name in sorted(names):
        member = None if name.startswith("__") and name not in _SPECIAL else shapes.of_member(theirs, name)
        if member is not None:
            yield member


def _is_of(of: type[Any], package: str) -> bool:
    return of.__module__.partition(".")[0] == package


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    package = importlib.import_module(SERVER)
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{SERVER}.")]
    return tuple(importlib.import_module(name) for name in names if not name.endswith("__main__"))
