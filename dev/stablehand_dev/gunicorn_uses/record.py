"""The record of what gunicorn was like when the server was last adapted to it, and what has changed since."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING

from stablehand_dev.gunicorn_uses import uses
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = REPOSITORY / "tests" / "server" / "gunicorn_internals" / "recorded.json"
HOW = "look at where the server uses it, then run `stablehand-dev gunicorn record`"


def read() -> dict[str, str]:
    """Return the shapes of the names that the server uses, as they were recorded."""
    recorded: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
    return recorded


def write(found: Mapping[str, str]) -> None:
    """Record the names that the server uses."""
    RECORD.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def changes(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return in a sentence each what gunicorn has changed, and what the server uses beyond the record."""
    version = metadata.version("gunicorn")
    said = []
    for name, shape in sorted(recorded.items()):
        if name not in found:
            said.append(f"gunicorn {version} has no {name} {shape} any more, or the server uses it no longer: {HOW}")
        elif found[name] != shape:
            said.append(f"gunicorn {version} has changed {name}: it was {shape}, and is {found[name]}: {HOW}")
    said += [
        f"the server uses {name} {found[name]}, which is not recorded: `make generate`"
        for name in found.keys() - recorded
    ]
    return said


def changes_of_installed() -> list[str]:
    """Return what the gunicorn that is installed has changed; first of all names that the server cannot import."""
    recorded, found = read(), uses.found()
    missing = uses.imported() - found.keys()
    if missing:
        return changes({name: recorded.get(name, "") for name in missing}, {})
    return changes(recorded, found)
