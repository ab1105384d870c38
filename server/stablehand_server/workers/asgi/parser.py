"""gunicorn's parser in Python, with its checks of names and values by regular expressions instead of byte by byte.

It accepts and refuses the same bytes. It is used where gunicorn would use its own: `gunicorn_h1c`, written in C, takes
precedence over both.
"""

from __future__ import annotations

import re

from stablehand_server.gunicorn_internals.asgi import PythonProtocol

_DELIMITERS = (
    rb'"(),/:;<=>?@\[\\\]{}'  # RFC 9110 section 5.6.2: a token consists of all visible characters except these
)
_token = re.compile(rb"[^\x00-\x20\x7f-\xff" + _DELIMITERS + rb"]+")
_conventional_method = re.compile(rb"[^\x00-\x20\x7f-\xffa-z#" + _DELIMITERS + rb"]{3,20}")
_control_character = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class RequestParser(PythonProtocol):
    """One connection's parser."""

    __slots__ = ()

    asgi_headers = None  # gunicorn asks each parser for it

    # The functions of the expressions themselves: no frame of Python's around each call.
    _is_valid_method = staticmethod(_conventional_method.fullmatch)
    _is_valid_token = staticmethod(_token.fullmatch)
    _has_invalid_header_chars = staticmethod(_control_character.search)

    @classmethod
    def adopt(cls, parser: object) -> None:
        """Turn a parser of gunicorn's into one of these, whatever its arguments; one of another kind is unchanged."""
        if type(parser) is PythonProtocol:
            parser.__class__ = cls
