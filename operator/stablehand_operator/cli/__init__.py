"""The command `stablehand`."""

from __future__ import annotations

from stablehand_operator.cli.application import main

__all__ = ["main"]
