"""The CRD on a real API server: what is refused, and with which sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration


def manifest(make_object: Callable[..., dict[str, Any]], name: str = "shop", **spec: Any) -> dict[str, Any]:
    body = make_object(name, **spec)
    body["metadata"] = {"name": name, "namespace": "default"}
    return body


def test_the_crd_is_accepted_without_a_warning_about_its_schema(api_server):
    conditions = api_server.get("crd", "wsgiapps.stablehand.dev")["status"]["conditions"]

    assert {each["type"]: each["status"] for each in conditions} == {"NamesAccepted": "True", "Established": "True"}


def test_an_app_with_everything_set_is_accepted(api_server, make_object):
    body = manifest(
        make_object,
        args=["--max-requests=1000", "--log-level", "debug"],
        replicas=3,
        resources={"requests": {"cpu": "500m"}, "limits": {"cpu": 2, "memory": "512Mi"}},
        env=[{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
        affinity={"nodeAffinity": {}},
        settings={"workerClass": "gthread", "workers": 2, "threads": 8},
        tuning={
            "mode": "Auto",
            "workers": {"min": 1, "max": 8},
            "threads": {"max": 32},
            "workerClasses": ["sync", "gthread"],
            "windows": {"warmUpSeconds": 0, "decisionSeconds": 7.5},
        },
    )

    assert "created" in api_server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=body)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": None}, "spec.image: Required value"),
        ({"app": None}, "spec.app: Required value"),
        ({"app": "no spaces here"}, "app must name a module and a callable in it, for example shop.wsgi:application"),
        ({"colour": "blue"}, 'unknown field "spec.colour"'),
        ({"tuning": {"wrokers": {"min": 1}}}, 'unknown field "spec.tuning.wrokers"'),
        ({"tuning": {"workers": {"min": 4, "max": 2}}}, "tuning.workers.min is greater than tuning.workers.max"),
        ({"tuning": {"threads": {"min": 4, "max": 2}}}, "tuning.threads.min is greater than tuning.threads.max"),
        (
            {"tuning": {"workerConnections": {"min": 40, "max": 20}}},
            "tuning.workerConnections.min is greater than tuning.workerConnections.max",
        ),
        (
            {"tuning": {"workerClasses": ["sync"], "threads": {"min": 2}}},
            "tuning.threads.min is more than 1, but tuning.workerClasses allows only sync",
        ),
        ({"tuning": {"mode": "Sometimes"}}, 'spec.tuning.mode: Unsupported value: "Sometimes"'),
        (
            {"settings": {"workerClass": "sync", "workers": 1, "threads": 2}},
            "a sync worker serves one request at a time: set threads to 1, or workerClass to gthread",
        ),
        ({"settings": {"workerClass": "turbo", "workers": 1}}, 'spec.settings.workerClass: Unsupported value: "turbo"'),
        ({"settings": {"workerClass": "sync", "workers": 0}}, "should be greater than or equal to 1"),
        (
            {"settings": {"workerClass": "sync", "workers": 9}, "tuning": {"workers": {"max": 8}}},
            "settings.workers is outside of the bounds tuning.workers",
        ),
        (
            {
                "settings": {"workerClass": "gthread", "workers": 1, "threads": 2},
                "tuning": {"threads": {"min": 4}},
            },
            "settings.threads is outside of the bounds tuning.threads",
        ),
        (
            {
                "settings": {"workerClass": "asgi", "workers": 1, "workerConnections": 500},
                "tuning": {"workerConnections": {"max": 200}},
            },
            "settings.workerConnections is outside of the bounds tuning.workerConnections",
        ),
        (
            {"settings": {"workerClass": "gevent", "workers": 1}, "tuning": {"workerClasses": ["sync", "gthread"]}},
            "settings.workerClass is not one of tuning.workerClasses",
        ),
        ({"args": ["--workers=4"]}, "args must not set what Stablehand sets"),
        ({"args": ["-w", "4"]}, "args must not set what Stablehand sets"),
        ({"args": ["-k=gevent"]}, "args must not set what Stablehand sets"),
        ({"args": ["--bind", "0.0.0.0:80"]}, "args must not set what Stablehand sets"),
        ({"port": 9464}, "port 9464 is taken: metrics are served there"),
        ({"volumes": [{"name": "tmp", "emptyDir": {}}]}, "volumes must not use the names settings and tmp"),
        ({"podAnnotations": {"stablehand.dev/settings": "{}"}}, "podAnnotations must not start with stablehand.dev/"),
        ({"resources": {"limits": {"cpu": "much"}}}, "spec.resources.limits.cpu"),
    ],
)
def test_a_bad_app_is_refused_with_a_sentence(api_server, make_object, change, sentence):
    body = manifest(make_object, **change)
    body["spec"] = {field: value for field, value in body["spec"].items() if value is not None}

    answer = api_server.kubectl("apply", "-f", "-", stdin=body, check=False)

    assert sentence in answer
    assert api_server.get("wsgiapp", "shop") is None


@pytest.mark.parametrize("name", ["9lives", "with.dots", "x" * 64])
def test_a_name_that_no_service_can_have_is_refused(api_server, make_object, name):
    answer = api_server.kubectl("apply", "-f", "-", stdin=manifest(make_object, name), check=False)

    assert "the name becomes a Service's" in answer


def test_mode_off_knows_no_bounds(api_server, make_object):
    body = manifest(
        make_object,
        settings={"workerClass": "sync", "workers": 9},
        tuning={"mode": "Off", "workers": {"max": 8}},
    )

    assert "created" in api_server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=body)
