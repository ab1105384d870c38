"""Loaded modules that gevent cannot make cooperative: C code that itself waits for the network.

While such a call waits, a gevent worker serves no other request: with one of them in use, more greenlets do not help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _psycopg2_blocks(module: Any) -> bool:
    # psycogreen and its like install a wait callback, with which libpq waits in the hub.
    extensions = getattr(module, "extensions", None)
    return extensions is None or extensions.get_wait_callback() is None


def _oracledb_blocks(module: Any) -> bool:
    # The thin mode is Python on sockets; the thick one is Oracle's client library.
    return not module.is_thin_mode()


# module: does it block? None: always
MODULES: Mapping[str, Callable[[Any], bool] | None] = {
    "psycopg2": _psycopg2_blocks,
    "MySQLdb": None,
    "grpc": None,
    "cx_Oracle": None,
    "oracledb": _oracledb_blocks,
    "pyodbc": None,
    "pymssql": None,
    "ibm_db": None,
    "pylibmc": None,
    "confluent_kafka": None,
    "zmq": None,
}


def loaded(modules: Mapping[str, Any]) -> int:
    """Return the bitmap, over MODULES, of those loaded that block; `modules` is sys.modules."""
    bitmap = 0
    for place, (name, blocks) in enumerate(MODULES.items()):
        module = modules.get(name)
        if module is not None and (blocks is None or _certainly(blocks, module)):
            bitmap |= 1 << place
    return bitmap


def names(bitmap: int) -> list[str]:
    """Return the names of a bitmap's modules."""
    return [name for place, name in enumerate(MODULES) if bitmap & 1 << place]


def _certainly(blocks: Callable[[Any], bool], module: Any) -> bool:
    try:
        return blocks(module)
    except Exception:  # noqa: BLE001 (a half-imported or unusual module: count it as blocking, to be safe)
        return True
