"""The cluster is as the resource says, and nothing is left when the resource goes."""

from __future__ import annotations

import json

CHILDREN = "deployments,replicasets,pods,services,configmaps,serviceaccounts"


def owned(app):
    found = json.loads(app.kubectl("get", CHILDREN, "-l", f"app.kubernetes.io/instance={app.name}", "-o", "json"))
    return [f"{each['kind']}/{each['metadata']['name']}" for each in found["items"]]


def container(app):
    return app.get("deployment")["spec"]["template"]["spec"]["containers"][0]


def test_an_edit_by_hand_is_undone_within_thirty_seconds_and_a_foreign_field_is_left_alone(new_app, io_bound, waiting):
    app = new_app("drift")
    app.apply(io_bound)
    app.wait_until_ready()
    image = container(app)["image"]
    foreign = {"metadata": {"annotations": {"example.com/note": "mine"}}, "spec": {"revisionHistoryLimit": 3}}

    app.kubectl("patch", "deployment", app.name, "--type=merge", "-p", json.dumps(foreign))
    app.kubectl("set", "image", f"deployment/{app.name}", f"{container(app)['name']}=example.com/other:1")
    app.kubectl("delete", "service", app.name)

    waiting("the image to be as the resource says", lambda: container(app)["image"] == image, 30)
    waiting("the Service to be there again", lambda: f"Service/{app.name}" in owned(app), 30)
    deployment = app.get("deployment")
    assert deployment["metadata"]["annotations"]["example.com/note"] == "mine"
    assert deployment["spec"]["revisionHistoryLimit"] == 3


def test_deleting_the_resource_removes_every_child(new_app, io_bound, waiting):
    app = new_app("gone")
    app.apply(io_bound)
    app.wait_until_ready()
    assert {each.partition("/")[0] for each in owned(app)} >= {
        "Deployment",
        "ReplicaSet",
        "Pod",
        "Service",
        "ConfigMap",
        "ServiceAccount",
    }

    app.kubectl("delete", "wsgiapp", app.name, "--timeout=60s")

    waiting("every child to go", lambda: not owned(app), 90)
