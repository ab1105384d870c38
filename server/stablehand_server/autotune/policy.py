"""What --autotune may do: the user's policy from the environment, over defaults that suit one machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_server.autotune.pins import Pins
from stablehand_tuner.policy import InvalidPolicy, Policy, Windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import WorkerClass

VARIABLE = "STABLEHAND_AUTOTUNE_POLICY"

# One machine, and somebody who waits for the result: no rollout, no image to pull, no other pods to agree with. So the
# windows are as short as possible with some tens of requests of a slow app in them.
WINDOWS = Windows(
    warm_up_seconds=3.0,
    warm_up_requests=20.0,
    decision_seconds=4.0,
    minimum_requests=30.0,
    trial_seconds=6.0,
    cool_down_seconds=5.0,
    apply_seconds=60.0,
    shrink_seconds=120.0,
)
DEFAULT = Policy(windows=WINDOWS)
NOTHING: Mapping[str, Any] = {}


def from_environment(
    given: Mapping[str, Any] = NOTHING,
    worker_class: WorkerClass | None = None,
    environ: Mapping[str, str] = os.environ,
) -> tuple[Policy, Pins]:
    """Return the policy that STABLEHAND_AUTOTUNE_POLICY gives, a path or the JSON object, and what stays as given.

    It is the same object as spec.tuning of a WSGIApp; what is absent takes the default of --autotune, or stays as it
    was given.

    Args:
        given: the settings that were given, by gunicorn's names.
        worker_class: the class that they select; None for one of the user's own.
        environ: the environment.

    Raises:
        RuntimeError: naming the variable and the fault; gunicorn ends with its text.
    """
    value = environ.get(VARIABLE, "").strip()
    try:
        fields = json.loads(value if value.startswith("{") else Path(value).read_text()) if value else {}
        policy = _over_defaults(fields)
    except OSError as error:
        raise RuntimeError(f"{VARIABLE} is neither a JSON object nor a file: {value}: {error.strerror}") from error
    except InvalidPolicy as error:
        raise RuntimeError(f"{VARIABLE}: {error}") from error
    except ValueError as error:
        raise RuntimeError(f"{VARIABLE} is not JSON, or cut short: {error}") from error
    pins = Pins.of(given, worker_class, named=fields)
    return pins.bound(policy), pins


def _over_defaults(fields: Any) -> Policy:
    if not isinstance(fields, dict):
        raise InvalidPolicy(f"a JSON object is needed, not {type(fields).__name__}")
    windows = fields.get("windows", {})
    if isinstance(windows, dict):  # if not, the policy says so
        fields = {**fields, "windows": {**DEFAULT.to_mapping()["windows"], **windows}}
    return Policy.from_mapping(fields)
