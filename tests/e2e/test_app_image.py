"""The Dockerfile that the README gives to users: built as it stands there, and served on a real cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from stablehand_dev.cluster.locking import locked
from stablehand_dev.errors import CommandFailedError
from stablehand_dev.images import builder as builders
from stablehand_dev.images import delivery
from stablehand_dev.paths import REPOSITORY, cache_dir
from stablehand_tuner.contracts.metric_names import DEFAULT_METRICS_PORT

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import os

import flask
import prometheus_client

app = flask.Flask(__name__)


@app.get("/")
def index():
    return {"flask": flask.__file__, "user": os.geteuid(), "prometheus_client": prometheus_client.__file__}
"""


def dockerfile_of_the_readme():
    (found,) = re.findall(r"```dockerfile\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return found


@pytest.fixture
def build(tmp_path: Path, images):
    """Build an app's image from the README's Dockerfile, on the server image of this very source."""

    def run(name, requirements):
        context = tmp_path / name
        (context / "shop").mkdir(parents=True)
        (context / "shop" / "wsgi.py").write_text(APP, encoding="utf-8")
        (context / "requirements.txt").write_text(requirements, encoding="utf-8")
        dockerfile = re.sub(r"^FROM \S+", f"FROM {images.server}", dockerfile_of_the_readme(), flags=re.MULTILINE)
        (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        builder, reference = builders.choose(), images.server.replace("/server:", f"/test-{name}:")
        with locked(cache_dir() / "images"):
            builder.build_app(reference, context)
        return builder, reference

    return run


def test_it_is_three_lines():
    instructions = [line.split()[0] for line in dockerfile_of_the_readme().splitlines()]
    assert instructions == ["FROM", "COPY", "RUN"]


def test_its_image_serves_the_app_with_its_packages_and_metrics_and_never_as_root(build, new_app, cluster):
    pinned = (REPOSITORY / "requirements" / "example.txt").read_text(encoding="utf-8")
    builder, image = build("shop", pinned)  # with hashes, and the server's own versions among them
    delivery.deliver(cluster, builder, image)
    app = new_app("shop")

    app.apply({"image": image, "app": "shop.wsgi:app", "tuning": {"mode": "Off"}})
    app.wait_until_ready()

    said = httpx.get(app.url(), timeout=10).json()
    assert said["flask"].startswith("/opt/stablehand/")
    assert said["user"] == 65532
    metrics = httpx.get(f"http://{app.pod_address()}:{DEFAULT_METRICS_PORT}/metrics", timeout=10).text
    assert re.search(r'^stablehand_worker_requests_total\{.*code="2xx".*\} [1-9]', metrics, re.MULTILINE)


@pytest.mark.parametrize("pin", ["gunicorn==23.0.0", "prometheus-client==0.14.1"])
def test_a_pin_that_would_break_the_server_fails_the_build_and_says_why(build, pin):
    name = pin.partition("=")[0]
    with pytest.raises(CommandFailedError) as refused:
        build(name, f"{pin}\n")
    assert re.search(rf"The user requested \(constraint\) {name}", str(refused.value))


def test_a_pin_that_the_server_can_work_with_replaces_its_own_version(build):
    build("tornado", "tornado==6.5\n")
