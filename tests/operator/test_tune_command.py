"""`stablehand tune`: from files and recorded metrics to what a policy does."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
import yaml
from typer.testing import CliRunner

from stablehand_dev.paths import REPOSITORY
from stablehand_operator.cli.application import app
from stablehand_operator.cli.tune import recording
from stablehand_operator.cli.tune.scenario import Scenario
from stablehand_simulator import App, Pod
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.snapshot import Snapshot

EXAMPLES = sorted((REPOSITORY / "examples" / "tuning").glob("*.yaml"))
SCENARIO = {
    "app": {"computeMilliseconds": 1, "waitMilliseconds": 100},
    "load": {"clients": 32},
    "pods": {"memoryMebibytes": 1024, "settings": {"workerClass": "sync", "workers": 1}},
    "seconds": 120,
}


def stablehand(*arguments):
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


def written(folder, content):
    path = folder / "scenario.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def exposition(pod):
    """Return a pod's samples as a server would expose them, with a metric of the app's own beside them."""
    lines = ["# HELP app_orders_total Not ours.", "app_orders_total 7"]
    for name, labels, value in pod.samples():
        inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def history(pods, *, rounds=30, interval=5.0, missing=frozenset()):
    lines = []
    for number in range(rounds):
        for pod in pods.values():
            pod.run_until(1 + number * interval)
        texts = {name: None if (number, name) in missing else exposition(pod) for name, pod in pods.items()}
        lines.append(recording.write(1e9 + number * interval, texts))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_simulated_by_formulas(path):
    result = stablehand("simulate", path, "--fast", "--json")
    report = json.loads(result.stdout)

    assert result.exit_code == 0
    assert report["changes"]
    assert report["oomExits"] == 0
    assert report["compared"]["end"]["requestsPerSecond"] >= report["compared"]["start"]["requestsPerSecond"]


@pytest.mark.integration
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_simulated_request_by_request(path):
    report = json.loads(stablehand("simulate", path, "--json").stdout)

    assert report["changes"]
    assert report["oomExits"] == 0


def test_an_app_that_blocks_event_loops_is_tried_on_one_pod_of_four():
    path = REPOSITORY / "examples" / "tuning" / "blocking.yaml"
    report = json.loads(stablehand("simulate", path, "--fast", "--json").stdout)
    tried = [each["oneWorker"] or each["canary"] or {} for each in report["rounds"]]
    on_gevent = [each for each in tried if each.get("workerClass") == "gevent"]

    assert on_gevent, "nothing was tried"
    assert all(each["settings"]["workerClass"] == "gthread" for each in report["rounds"])
    assert "roll_back" in {each["action"] for each in report["decisions"]}


def test_people_get_tables_with_every_decision_and_its_reason(tmp_path):
    result = stablehand("simulate", written(tmp_path, SCENARIO), "--fast")

    assert result.exit_code == 0
    assert "apply gthread" in result.stdout
    assert "best of a grid" in result.stdout
    assert "TrialPassed" in result.stdout


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path):
    path = written(tmp_path, {**SCENARIO, "seconds": 30})
    first, again, other = (stablehand("simulate", path, "--json", "--seed", seed).stdout for seed in (3, 3, 4))

    assert first == again != other


def test_json_is_yaml_enough(tmp_path):
    assert Scenario.read(written(tmp_path, json.dumps(SCENARIO))).to_workload().clients == 32


def test_phases_keep_what_they_do_not_name(tmp_path):
    scenario = {**SCENARIO, "phases": [{"atSeconds": 60, "load": {"requestsPerSecond": 5}}]}
    workload = Scenario.read(written(tmp_path, scenario)).to_workload()

    assert workload.at(59) == workload.at(0)
    assert (workload.at(60).clients, workload.at(60).rate) == (0, 5)
    assert workload.at(60).app == workload.app


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"app": {"waitMilliseconds": 5}}, "app.computeMilliseconds: Field required"),
        ({"load": {}}, "either clients or requestsPerSecond"),
        ({"load": {"clients": 3, "requestsPerSecond": 3}}, "either clients or requestsPerSecond"),
        ({"speed": 3}, "speed: Extra inputs"),
        ({"pods": {"cores": 4, "nodeCores": 2}}, "nodeCores is 2, but cores is 4"),
        ({"pods": {"settings": {"workerClass": "sync", "workers": 1, "threads": 4}}}, "a sync worker serves one"),
        ({"tuning": {"workers": {"min": 4, "max": 2}}}, "workers.min is 4, but workers.max is 2"),
        ({"app": {"computeMilliseconds": 1, "kinds": [{"share": 0.6, "computeMilliseconds": 1}] * 2}}, "add up to 1"),
        ({"seconds": 0}, "seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_scenario_that_makes_no_sense_is_refused_with_a_sentence_that_names_the_field(tmp_path, changes, sentence):
    result = stablehand("simulate", written(tmp_path, {**SCENARIO, **changes}))

    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize("content", ["[1, 2", "- 1\n", "", "\udcff"], ids=["cut short", "a list", "empty", "no text"])
def test_a_file_that_is_no_scenario_is_refused(tmp_path, content):
    path = tmp_path / "scenario.yaml"
    path.write_bytes(content.encode(errors="surrogateescape"))

    assert stablehand("simulate", path).exit_code == 2
    assert stablehand("simulate", tmp_path / "nowhere.yaml").exit_code == 2
    assert stablehand("simulate").exit_code == 2


def test_a_recording_is_replayed_to_the_advice_that_the_policy_gives(tmp_path):
    pods = {"one": Pod(App(compute=0.001, wait=0.1), Settings(WorkerClass.SYNC, 1), clients=64)}
    path = tmp_path / "history.jsonl"
    path.write_text(history(pods))
    report = json.loads(stablehand("replay", path, "--json").stdout)
    policy = written(tmp_path, {"workerClasses": ["sync"], "mode": "Auto"})
    narrow = json.loads(stablehand("replay", path, "--policy", policy, "--json").stdout)

    assert {each["action"] for each in report["decisions"]} == {"recommend"}
    assert report["settings"]["workerClass"] == "gthread"
    assert narrow["settings"]["workerClass"] == "sync"
    assert narrow["settings"]["workers"] > 1
    assert "Advised in the end: gthread" in stablehand("replay", path).stdout


def test_scrapes_that_failed_are_named_and_count_as_missing(tmp_path):
    pods = {
        name: Pod(App(compute=0.001, wait=0.1), Settings(WorkerClass.SYNC, 1), clients=64) for name in ("one", "two")
    }
    path = tmp_path / "history.jsonl"
    path.write_text(history(pods, missing={(number, "two") for number in range(2, 30)}))
    result = stablehand("replay", path, "--json")

    assert "two: the scrape failed" in result.stderr
    assert json.loads(result.stdout)["decisions"] == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "line 1 must be an object"),
        ('{"at": "noon", "pods": {}}', "at must be a number"),
        ('{"at": 1, "pods": {"one": 3}}', "one must be the text of its metrics, or null"),
        ('{"at": 2, "pods": {}}\n{"at": 2, "pods": {}}', "line 2: at is 2.0, not later"),
        ('{"at": 1, "pods": {"one": "nothing"}}', "fewer than two rounds"),
        ("", "fewer than two rounds"),
    ],
)
def test_a_recording_that_is_none_is_refused_with_the_line(tmp_path, content, sentence):
    path = tmp_path / "history.jsonl"
    path.write_text(content)
    result = stablehand("replay", path)

    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.fixture
def served():
    """The metrics of a simulated pod at an address on loopback; other paths are not found."""
    pod = Pod(App(compute=0.001, wait=0.05), Settings(WorkerClass.GTHREAD, 1, 4), clients=8)

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            pod.run_until(pod.snapshot().at + 1)
            body = exposition(pod).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_recorded_can_be_replayed(served, tmp_path):
    result = stablehand("record", f"{served}/metrics", f"{served}/other", "--seconds", "0.5", "--interval", "0.1")
    path = tmp_path / "history.jsonl"
    path.write_text(result.stdout)
    with path.open() as lines:
        rounds = list(recording.read(lines))

    assert result.exit_code == 0
    assert "other answered with status 404" in result.stderr
    assert len(rounds) >= 3
    assert isinstance(rounds[0].pods[f"{served}/metrics"], Snapshot)
    assert rounds[0].pods[f"{served}/other"] is None
    assert "app_orders" not in result.stdout
    assert stablehand("replay", path).exit_code == 0


def test_nothing_to_record_is_a_failure_with_a_sentence(served):
    result = stablehand("record", f"{served}/other", "--seconds", "0.1", "--interval", "0.1")

    assert result.exit_code == 2
    assert "no scrape succeeded" in result.stderr
    assert stablehand("record", "10.0.0.1:9464").exit_code == 2


def test_a_survey_names_the_worst_workloads_by_their_seeds():
    report = json.loads(stablehand("survey", "--workloads", 6, "--json").stdout)
    ratios = [each["ofBest"] for each in report["each"]]
    shown = stablehand("survey", "--workloads", 3).stdout

    assert report["workloads"] == len(ratios) == 6
    assert ratios == sorted(ratios)
    assert "geometric mean" in shown
    again = stablehand("simulate", "--fast", "--json", "--generated", report["each"][0]["seed"])
    assert json.loads(again.stdout)["compared"]["end"] == report["each"][0]["end"]


def test_a_survey_of_apps_with_hazards_counts_failed_requests_and_each_can_be_shown():
    report = json.loads(stablehand("survey", "--workloads", 3, "--hazards", "--json").stdout)
    again = stablehand("simulate", "--fast", "--json", "--hazards", "--generated", report["each"][0]["seed"])

    assert 0 <= report["failedRequests"] < 0.1
    assert json.loads(again.stdout)["compared"]["end"] == report["each"][0]["end"]
    assert "Failed requests" in stablehand("survey", "--workloads", 2, "--hazards").stdout
    refused = stablehand("simulate", "--hazards", "app.yaml")
    assert refused.exit_code == 2
    assert "--hazards is for --generated" in refused.stderr
