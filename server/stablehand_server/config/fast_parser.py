"""Whether --http-parser fast can be used.

gunicorn finds out at each request and answers it with 500, or under asgi not at all. A class that reads requests in
another way ignores the option, and the server starts without the package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config

_PACKAGE = "gunicorn_h1c"
# The options that the C parser does not support, as a user writes them.
_UNKNOWN_TO_IT = {
    "permit_obsolete_folding": "--permit-obsolete-folding",
    "strip_header_spaces": "--strip-header-spaces",
}
_INSTEAD = "or choose --http-parser auto"


def fault(config: Config, worker_class: WorkerClass | None) -> str | None:
    """Return in one sentence why a class would fail all its requests, or None where it would not.

    Args:
        config: what the server uses.
        worker_class: the class, or None for one of the user's own that leaves requests to gunicorn's code.
    """
    if config.http_parser != "fast" or worker_class is WorkerClass.TORNADO:
        return None
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError:
        return f"--http-parser fast needs the package {_PACKAGE}, which is not installed: install it, {_INSTEAD}"
    if not hasattr(package, "LimitRequestLine"):  # gunicorn's own test
        return (
            f"--http-parser fast needs {_PACKAGE} 0.4.1 or later, and an older one is installed: upgrade it, {_INSTEAD}"
        )
    unknown = [flag for name, flag in _UNKNOWN_TO_IT.items() if getattr(config, name)]
    if worker_class is WorkerClass.ASGI and config.proxy_protocol != "off":
        unknown.append("--proxy-protocol under asgi")
    if unknown:
        return f"--http-parser fast cannot be had with {' and '.join(unknown)}: leave one of them out, {_INSTEAD}"
    return None
