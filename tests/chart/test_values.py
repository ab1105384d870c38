"""The chart's values: their schema and their defaults say the same."""

from __future__ import annotations

import json

import pytest
import yaml


@pytest.fixture(scope="module")
def defaults(chart):
    return yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def schema(chart):
    return json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))


def resolved(schema, part):
    reference = part.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def objects(schema, part, path=""):
    """Every object of the schema with named properties, and its path."""
    part = resolved(schema, part)
    if "properties" in part:
        yield path, part
        for name, child in part["properties"].items():
            yield from objects(schema, child, f"{path}.{name}".lstrip("."))


def test_every_object_of_the_schema_refuses_unknown_names(schema):
    for path, part in objects(schema, schema):
        assert part["additionalProperties"] is False, path or "the root"


def test_the_defaults_and_the_schema_name_the_same_values(schema, defaults):
    for path, part in objects(schema, schema):
        at = defaults
        for name in filter(None, path.split(".")):
            at = at[name]
        known = set(part["properties"]) - {"global", "claims"}
        assert known == set(at), path or "the root"


def test_the_schema_says_a_type_or_a_choice_for_every_value(schema):
    for path, part in objects(schema, schema):
        for name, child in part["properties"].items():
            child = resolved(schema, child)  # noqa: PLW2901 (the reference says nothing itself)
            assert "type" in child or "enum" in child, f"{path}.{name}"
