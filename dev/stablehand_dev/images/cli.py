"""`stablehand-dev images`: the container images of this repository."""

import dataclasses
import json
from typing import Annotated

import typer

from stablehand_dev.cluster import lifecycle
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.images import builder as builders
from stablehand_dev.images import provision
from stablehand_dev.images.model import Images

app = typer.Typer(no_args_is_help=True, help="The container images: operator, server, example.")

RegistryOption = Annotated[
    str | None, typer.Option(help="Where to push them, for a cluster of your own; else STABLEHAND_REGISTRY.")
]


@app.command()
def build(
    *,
    load: Annotated[
        bool | None, typer.Option("--load/--no-load", help="Bring them to the cluster; by default if one is up.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push them to the registry, cluster or not.")] = False,
    registry: RegistryOption = None,
) -> None:
    """Build the images whose sources have changed, and print their names as JSON."""
    cluster = lifecycle.current()
    if push:
        if registry is None:
            raise DevelopmentError("--push needs --registry: where to?")
        builder = builders.choose()
        images = provision.build(builder, registry)
        for reference in dataclasses.astuple(images):
            builder.push(reference)
    elif load or (load is None and cluster is not None):
        if cluster is None:
            raise DevelopmentError("--load needs a cluster: `make cluster` starts one")
        images = provision.ensure(cluster, registry)
    else:
        images = provision.build(builders.choose())
    _print(images)


@app.command(name="list")
def list_images(registry: RegistryOption = None) -> None:
    """Print the names of the images of this very source as JSON, built or not."""
    _print(provision.names(builders.choose(), registry))


def _print(images: Images) -> None:
    print(json.dumps(dataclasses.asdict(images)))
