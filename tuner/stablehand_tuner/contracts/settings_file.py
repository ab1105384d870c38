"""The content of a settings file: what all workers run, and, for as long as a trial lasts, what one runs instead."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from stablehand_tuner.contracts.settings import FIELDS, InvalidSettings, Settings, json_object
from stablehand_tuner.contracts.trial import Trial, TrialOn

FILE_FIELDS = (*FIELDS, "trial")


@dataclasses.dataclass(frozen=True)
class SettingsFile:
    """What a server should run.

    A file without a trial is the JSON object of `Settings`. A server that does not know trials refuses a file with one,
    as it refuses any unknown field: only a server whose metrics have `stablehand_trials_total` knows them.

    Attributes:
        settings: what all workers run, but for what is on trial; and what the server goes back to.

    Raises:
        InvalidSettings: when a trial on all workers could not be undone without booting workers.
    """

    settings: Settings
    trial: Trial | None = None

    def __post_init__(self) -> None:
        """Validate what concerns both."""
        trial, settings = self.trial, self.settings
        if trial is None or trial.on is not TrialOn.ALL:
            return
        if trial.worker_class is not settings.worker_class:
            raise InvalidSettings(
                f"trial.workerClass is {trial.worker_class}, but a trial on all workers has the class that they have, "
                f"{settings.worker_class}"
            )
        if trial.workers < settings.workers:
            raise InvalidSettings(
                f"trial.workers is {trial.workers}, but a trial on all workers has as many as without it, "
                f"{settings.workers}, or more"
            )

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON object of the contract."""
        trial = {} if self.trial is None else {"trial": self.trial.to_mapping()}
        return {**self.settings.to_mapping(), **trial}

    def to_json(self) -> str:
        """Return one line of JSON, the same text for the same content."""
        return json.dumps(self.to_mapping(), separators=(", ", ": "))

    @classmethod
    def from_json(cls, text: str) -> SettingsFile:
        """Read the contract's JSON from a text.

        Raises:
            InvalidSettings: when the text is no JSON, truncated, no object, or not valid.
        """
        fields = json_object(text)
        unknown = sorted(set(fields).difference(FILE_FIELDS))
        if unknown:
            raise InvalidSettings(f"unknown field {unknown[0]!r}; known are {', '.join(FILE_FIELDS)}")
        trial = Trial.from_mapping(fields["trial"]) if "trial" in fields else None
        return cls(Settings.from_mapping({name: fields[name] for name in fields if name != "trial"}), trial)
