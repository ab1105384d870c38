"""The names of the three images that are built here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """Full references, as a manifest's `image:` takes them.

    Attributes:
        operator: the operator.
        server: the base for users' apps: stablehand-server and nothing more.
        example: the server with Flask and the apps of examples/.
    """

    operator: str
    server: str
    example: str
