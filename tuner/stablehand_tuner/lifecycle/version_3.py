"""Stored states of version 3, one flat object, as the object of version 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = 3


def converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as version 4 would have written it.

    Raises:
        KeyError, TypeError: when a field is missing or of another type.
    """
    return {
        "version": VERSION + 1,
        "phase": _PHASES[fields["phase"]](fields),
        "known": {name: fields[name] for name in ("banned", "refused", "footprint", "kinds", "memoryCeiling")},
        "history": {
            "beganAt": fields["changes"],
            "nextChangeAt": fields["nextChangeAt"],
            "reversals": fields["reversals"],
            "direction": fields["direction"],
            "cpuShare": fields["share"],
        },
        "warmUp": _warm_up(fields),
        "image": fields["image"],
        "note": fields["note"],
    }


def _warm_up(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    since, requests = fields["warmSince"], fields["warmRequests"]
    return None if since is None else {"since": since, "requests": requests}


def _watching(fields: Mapping[str, Any]) -> dict[str, Any]:
    since, slots, workers = fields["shrinkSince"], fields["shrinkSlots"], fields["shrinkWorkers"]
    return {
        "name": "watching",
        "settings": fields["settings"],
        "window": _window(fields),
        "standing": fields["verdict"],
        "lowDemand": None if since is None else {"since": since, "slots": slots, "workers": workers},
    }


def _canary_applying(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**_change(fields), "name": "canaryApplying", "pod": fields["canary"]["pod"]}


def _canary_running(fields: Mapping[str, Any]) -> dict[str, Any]:
    canary = fields["canary"]
    return {
        **_change(fields),
        "name": "canaryRunning",
        "pod": canary["pod"],
        "comparison": canary["comparison"],
        "window": _window(fields),
    }


def _applying(fields: Mapping[str, Any]) -> dict[str, Any]:
    canary, doubt = fields["canary"], fields["doubt"]
    pod = None if canary is None else canary["pod"]
    return {**_change(fields), "name": "applying", "pod": pod, "isSecondTry": doubt is not None}


def _trial(fields: Mapping[str, Any]) -> dict[str, Any]:
    is_second_try = fields["doubt"] is not None
    return {**_change(fields), "name": "trial", "window": _window(fields), "isSecondTry": is_second_try}


def _rolling_back(fields: Mapping[str, Any]) -> dict[str, Any]:
    doubt = fields["doubt"]
    return {
        "name": "rollingBack",
        "since": fields["since"],
        "decision": fields["change"],
        "doubt": None if doubt is None else _doubt(doubt),
    }


def _recheck(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": "recheck",
        "since": fields["since"],
        "decision": fields["change"],
        "doubt": _doubt(fields["doubt"]),
        "window": _window(fields),
    }


def _change(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "since": fields["since"],
        "before": fields["settings"],
        "decision": fields["change"],
        "baseline": fields["baseline"],
    }


def _doubt(doubt: Mapping[str, Any]) -> dict[str, Any]:
    change = doubt["change"]
    return {
        "target": change["settings"],
        "evidence": change["evidence"],
        "observed": doubt["tried"],
        "reason": doubt["reason"],
    }


def _window(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"observed": fields["window"], "missing": fields["windowMissing"], "scrapes": fields["windowScrapes"]}


_PHASES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "watching": _watching,
    "canary_applying": _canary_applying,
    "canary": _canary_running,
    "applying": _applying,
    "trial": _trial,
    "rolling_back": _rolling_back,
    "again": _recheck,
}
