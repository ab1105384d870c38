"""The few shapes of Kubernetes' own API that a WSGIApp passes on, and the base of all models.

What Kubernetes validates itself when the Deployment is applied is passed on as it is (`PassedOn`): a copy of its schema
here would refuse what a newer Kubernetes knows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

PassedOn = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object whose fields are passed on to Kubernetes unchecked."""

# Kubernetes' own pattern of a resource quantity (apimachinery, pkg/api/resource).
_QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)

Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, (int, float)) else value),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": _QUANTITY_PATTERN,
        }
    ),
]
"""A quantity as Kubernetes writes it: `500m`, `2`, `256Mi`."""


class Model(BaseModel):
    """The base of all models: camelCase outside, unknown fields refused, values immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_json(self) -> dict[str, Any]:
        """Return the object as Kubernetes stores it: camelCase, without fields that are not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class NamedReference(Model):
    """Names another object of the same namespace."""

    name: str = Field(min_length=1)
    """The object's name."""


class EnvironmentVariable(Model):
    """One environment variable: a name, and its value or where the value is found."""

    name: str = Field(min_length=1)
    """The variable's name."""

    value: str | None = None
    """The variable's value."""

    value_from: PassedOn | None = None
    """Where the value is found: configMapKeyRef, secretKeyRef, fieldRef or resourceFieldRef."""


class Volume(Model):
    """One volume of the pod: a name, and what is in it, as in a pod's own spec."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})

    name: str = Field(min_length=1, max_length=63)
    """The volume's name; `settings` and `tmp` are taken."""


class VolumeMount(Model):
    """Where a volume appears in the app's container, as in a pod's own spec."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})

    name: str = Field(min_length=1, max_length=63)
    """The volume's name."""

    mount_path: str = Field(min_length=1)
    """The directory in the container."""


class ResourceRequirements(Model):
    """The requests and limits of the app's container."""

    requests: dict[str, Quantity] | None = None
    """Reserved for the container: `cpu`, `memory`."""

    limits: dict[str, Quantity] | None = None
    """The most that the container may use: `cpu`, `memory`. The tuner takes them into account."""
