"""The settings that cases share: one pair of servers each."""

from __future__ import annotations

from conformance.case import Setting

# Everything quick. sync serves its three clients at once in processes, so that those who wait do not add up.
ORDINARY = Setting(
    "ordinary",
    ("--timeout=30", "--keep-alive=5", "--graceful-timeout=5"),
    workers=(("sync", 3),),
)
