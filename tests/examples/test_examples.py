"""The example apps do what their names say, and their resources are valid."""

from __future__ import annotations

import importlib.util
import time

import pytest
import yaml

from stablehand_dev.paths import REPOSITORY
from stablehand_operator.resource import WSGIApp
from stablehand_tuner.contracts.settings import Settings, WorkerClass

EXAMPLES = REPOSITORY / "examples"


def loaded(name, monkeypatch, **environment):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resource(name):
    return yaml.safe_load((EXAMPLES / name / "wsgiapp.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["io_bound", "cpu_bound"])
def test_work_is_measured_in_cpu_time_not_in_iterations(name, monkeypatch):
    app = loaded(name, monkeypatch, CPU_MS="10", WAIT_MS="0")
    began = time.thread_time()
    app.compute(0.01)
    assert 0.01 <= time.thread_time() - began < 0.015


def test_the_waiting_app_waits_as_long_as_told_and_hardly_computes(monkeypatch):
    client = loaded("io_bound", monkeypatch, CPU_MS="1", WAIT_MS="60").app.test_client()
    client.get("/")
    began, computed = time.monotonic(), time.thread_time()
    answer = client.get("/")
    assert (answer.status_code, answer.json["wait_seconds"]) == (200, 0.06)
    assert time.monotonic() - began >= 0.06
    assert time.thread_time() - computed < 0.02


def test_the_computing_app_computes_as_long_as_told(monkeypatch):
    client = loaded("cpu_bound", monkeypatch, CPU_MS="30").app.test_client()
    computed = time.thread_time()
    assert client.get("/").status_code == 200
    assert time.thread_time() - computed >= 0.03


@pytest.mark.parametrize("name", ["io_bound", "cpu_bound"])
def test_each_resource_is_valid_names_its_app_and_starts_with_one_sync_worker(name):
    body = resource(name)
    body["metadata"].update(namespace="default", uid="0")
    app = WSGIApp.from_object(body)
    assert app.spec.app == f"{name}.app:app"
    assert (EXAMPLES / name / "app.py").exists()
    assert app.spec.initial_settings() == Settings(WorkerClass.SYNC, workers=1)


def test_the_computing_app_is_limited_to_two_cpus():
    assert resource("cpu_bound")["spec"]["resources"]["limits"]["cpu"] == "2"
