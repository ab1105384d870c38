"""Uninstalling the operator is no outage."""

from __future__ import annotations

import httpx


def test_apps_crd_and_resources_outlive_the_release_and_the_next_one_picks_them_up(
    new_app, io_bound, operator, cluster, waiting
):
    app = new_app("orphan")
    app.apply(io_bound)
    app.wait_until_ready()
    identity = app.identity()

    operator.uninstall()
    try:
        assert app.identity() == identity
        assert httpx.get(app.url(), timeout=10).status_code == 200
        assert "wsgiapps.stablehand.dev" in cluster.kubectl("get", "crd", "-o", "name")
        assert app.get()["spec"]["app"] == io_bound["app"]
    finally:
        operator.install()

    app.kubectl("delete", "service", app.name)
    waiting("the new release to care for the app", lambda: app.name in app.kubectl("get", "services", "-o", "name"), 60)
    assert app.identity() == identity
