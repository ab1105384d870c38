"""kubectl alone tells the story: what runs, whether it is ready, why; and what is wrong, in a sentence."""

from __future__ import annotations

import pytest

from stablehand_dev.errors import CommandFailedError


def refusal(app, spec):
    with pytest.raises(CommandFailedError) as refused:
        app.apply(spec)
    return str(refused.value)


def test_get_and_describe_tell_class_workers_threads_ready_and_why(new_app, io_bound, waiting):
    app = new_app("story")
    app.apply(io_bound)
    app.wait_until_ready()
    waiting("a reason", lambda: app.status().get("reason"), 60)

    header, row = app.kubectl("get", "wsgiapps").splitlines()
    assert header.split() == ["NAME", "CLASS", "WORKERS", "THREADS", "READY", "REASON", "AGE"]
    assert row.split()[:4] == ["story", "sync", "1", "1"]

    described = waiting(
        "a description with the reason of now",  # which may change between the two looks
        lambda: app.status()["reason"] in (told := app.kubectl("describe", "wsgiapp", app.name)) and told,
    )
    for expected in ("Conditions:", "Ready", "Observed Generation:", "Events:"):
        assert expected in described, expected


def test_contradicting_bounds_are_refused_with_a_sentence(new_app, io_bound):
    said = refusal(new_app("bad"), {**io_bound, "tuning": {"workers": {"min": 4, "max": 2}}})

    assert "tuning.workers" in said
    assert "greater than" in said


def test_an_unknown_field_is_refused_by_its_name(new_app, io_bound):
    assert 'unknown field "spec.wrokers"' in refusal(new_app("bad"), {**io_bound, "wrokers": 3})


def test_a_resource_without_an_image_is_refused(new_app, io_bound):
    assert "spec.image: Required value" in refusal(
        new_app("bad"), {key: value for key, value in io_bound.items() if key != "image"}
    )


def test_an_app_that_does_not_import_is_not_ready_and_the_condition_says_why(new_app, io_bound, waiting):
    app = new_app("broken")
    app.apply({**io_bound, "app": "io_bound.nowhere:app"})

    ready = waiting(
        "the error's last line",
        lambda: "nowhere" in app.condition("Ready").get("message", "") and app.condition("Ready"),
        120,
    )

    assert ready["status"] == "False"
    assert "No module named 'io_bound.nowhere'" in ready["message"]
