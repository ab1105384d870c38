from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from stablehand_operator.cli.application import app as command
from stablehand_operator.crd import custom_resource_definition, structural, to_yaml
from stablehand_operator.tuning_spec import TuningSpec, Windows
from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass
from stablehand_tuner.policy import Mode, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART_COPY = Path(__file__).parents[2] / "charts" / "stablehand" / "files" / "wsgiapps.yaml"


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


def schema_of(part: str) -> dict[str, Any]:
    version = custom_resource_definition()["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def test_the_chart_s_copy_is_what_the_command_prints():
    printed = CliRunner().invoke(command, ["crd"])

    assert printed.exit_code == 0
    assert printed.output == to_yaml() == CHART_COPY.read_text(encoding="utf-8")


def test_the_schema_is_structural():
    for part in ("spec", "status"):
        for node in nodes(schema_of(part)):
            assert "$ref" not in node
            assert {"type": "null"} not in node.get("anyOf", [])
            assert node.get("additionalProperties") is not False


def test_every_field_of_spec_and_status_has_a_description():
    def undescribed(schema: dict[str, Any], path: str) -> Iterator[str]:
        for name, child in schema.get("properties", {}).items():
            if "description" not in child:
                yield f"{path}.{name}"
            yield from undescribed(child, f"{path}.{name}")
        if "items" in schema:
            yield from undescribed(schema["items"], f"{path}[]")

    assert [*undescribed(schema_of("spec"), "spec"), *undescribed(schema_of("status"), "status")] == []


def test_a_field_with_two_types_cannot_be_expressed():
    with pytest.raises(ValueError, match="one type"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]})


def test_the_tuning_of_the_spec_has_exactly_the_fields_of_the_policy():
    policy = Policy(workers_highest=4).to_mapping()

    assert schema_of("spec")["properties"]["tuning"]["properties"].keys() == policy.keys()
    assert {field.alias for field in Windows.model_fields.values()} == policy["windows"].keys()
    assert TuningSpec.model_validate(policy).to_policy() == Policy(workers_highest=4)


def test_what_the_spec_leaves_out_takes_the_policy_s_default():
    assert TuningSpec().to_policy() == Policy()


def test_the_spec_s_tuning_becomes_the_policy():
    tuning = TuningSpec.model_validate(
        {
            "mode": "Recommend",
            "workers": {"min": 2, "max": 4},
            "threads": {"max": 16},
            "workerClasses": ["gthread", "sync"],
            "windows": {"trialSeconds": 7},
        }
    )

    policy = tuning.to_policy()

    assert policy.mode is Mode.RECOMMEND
    assert (policy.workers_lowest, policy.workers_highest) == (2, 4)
    assert policy.threads == Range(1, 16)
    assert set(policy.worker_classes) == {WorkerClass.SYNC, WorkerClass.GTHREAD}
    assert policy.windows.trial_seconds == 7


def test_the_spec_s_settings_are_the_contract_s(make_app):
    app = make_app(settings={"workerClass": "gthread", "workers": 2, "threads": 8})

    assert app.spec.initial_settings() == Settings(WorkerClass.GTHREAD, 2, 8, 1000)


def test_an_app_that_names_no_settings_starts_with_a_process_and_a_few_threads(make_app):
    assert make_app().spec.initial_settings() == Settings(WorkerClass.GTHREAD, 1, 4)


def test_an_unknown_field_is_refused_by_the_models_too(make_app):
    with pytest.raises(ValidationError, match="colour"):
        make_app(colour="blue")
