"""The settings that cases share: one pair of servers each."""

from __future__ import annotations

from conformance.case import Setting

# Everything quick. sync serves its three clients at once in processes, so that those who wait do not add up.
ORDINARY = Setting(
    "ordinary",
    ("--timeout=30", "--keep-alive=5", "--graceful-timeout=5"),
    workers=(("sync", 3),),
)
# Limits that a case can outlast. sync ends a worker whose request does: each case there has one of its own. Under
# tornado an app that waits holds everybody.
SHORT = Setting(
    "short limits",
    ("--timeout=2", "--keep-alive=1", "--graceful-timeout=2"),
    serial=frozenset({"tornado"}),
    workers=(("sync", 14),),
)
# Clients that are silent for long, and may be.
PATIENT = Setting("patient", ("--timeout=30", "--keep-alive=20"), workers=(("sync", 3),))
# Two requests at once where a class counts threads.
STARVED = Setting("starved", ("--timeout=6", "--keep-alive=1", "--graceful-timeout=2"), threads=2)
SECURE = Setting("TLS", ("--timeout=30", "--keep-alive=5"), tls=True, workers=(("sync", 2),))
UNIX = Setting("Unix socket", ("--timeout=30", "--keep-alive=5"), bind="unix")
BEHIND_PROXY = Setting(
    "PROXY protocol", ("--timeout=30", "--keep-alive=5", "--proxy-protocol=auto"), workers=(("sync", 3),)
)
STRANGE_PROXY = Setting(
    "untrusted proxy",
    ("--keep-alive=5", "--proxy-protocol=auto", "--proxy-allow-from=192.0.2.9", "--forwarded-allow-ips=192.0.2.9"),
)
