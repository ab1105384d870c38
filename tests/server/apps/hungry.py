"""An app that takes as many MiB as a file says, and is like serving.py in all else."""

from pathlib import Path

from serving import app

TAKEN = b"x" * (int(Path("hungry-mib").read_text()) << 20)

__all__ = ["app"]
