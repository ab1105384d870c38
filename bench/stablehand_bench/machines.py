"""`python -m stablehand_bench.machines`: the tuner on machines larger than the one at hand, simulated by formulas.

How do the classes and the tuner scale from one core to sixty-four, in one pod or in pods of one core each, and where do
processes, threads and event loops cross over? A real server cannot show that on two cores. `docs/simulator.md` says how
far the formulas are from what is simulated request by request.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import report
from stablehand_simulator import grid, run
from stablehand_simulator.app import App, Machine
from stablehand_simulator.workload import Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CORES = (1, 2, 4, 16, 64)
"""Of one pod; and, for more than one, so many pods of one core each."""

_CROSSING_CORES = (1, 4, 16, 64)
CLIENTS_PER_CORE = 32
_BYTES_PER_CORE = 2.0**31
_SECONDS = 600.0
_CLASSES = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT)
_WAITS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)  # times the computing
_COMPUTE_SECONDS = 0.002
_CONVOY_SECONDS = 0.0001
_ROOT = Path(__file__).parents[2] / "docs"

APPS = {
    "computes 5 ms": App(0.005, thread_overhead=_CONVOY_SECONDS),
    "computes 0.3 ms": App(0.0003, thread_overhead=_CONVOY_SECONDS),
    "3 ms, waits 35 ms": App(0.003, 0.035, thread_overhead=_CONVOY_SECONDS),
    "1 ms, waits 100 ms": App(0.001, 0.1, thread_overhead=_CONVOY_SECONDS),
    "10 ms in C without the lock": App(0.001, compute_unlocked=0.01, thread_overhead=_CONVOY_SECONDS),
    "1 ms, waits 50 ms for a pool of 15": App(0.001, 0.05, process_connections=15, thread_overhead=_CONVOY_SECONDS),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """How one app does on one machine; rates are of successful answers per second of all pods."""

    app: str
    pods: int
    cores: int
    best: Settings
    best_rate: float
    best_p99: float
    of_classes: dict[str, float]  # the best rate of each class
    tuned: Settings
    tuned_rate: float
    tuned_p99: float
    settled_at: float

    @property
    def ratio(self) -> float:
        """The tuner's rate as a share of the best."""
        return self.tuned_rate / self.best_rate


def workload(app: App, *, cores: int, pods: int) -> Workload:
    """Return an app that begins with one sync worker in each pod, and has the same clients for each core everywhere."""
    machine = Machine(cores=float(cores), memory_limit=cores * _BYTES_PER_CORE)
    start = Settings(WorkerClass.SYNC, 1)
    return Workload(app, start, machine, pods=pods, clients=CLIENTS_PER_CORE * cores * pods)


def measure(name: str, app: App, *, cores: int, pods: int) -> Row:
    """Tune an app on a machine, and compare the end with the best static settings and with each class's best."""
    made = workload(app, cores=cores, pods=pods)
    rates: dict[str, float] = {}
    for settings in grid.candidates(made):
        achieved = grid.performance(made, settings)
        if grid.fits(made, achieved):
            worker_class = settings.worker_class.value
            rates[worker_class] = max(rates.get(worker_class, 0.0), achieved.goodput)
    best, tuned = grid.best(made), run.tune(made, _SECONDS)
    settings = tuned.settings or made.start
    end = grid.performance(made, settings)
    return Row(
        name,
        pods,
        cores,
        best.settings,
        best.goodput,
        best.p99,
        rates,
        settings,
        end.goodput,
        end.p99,
        tuned.settled_at,
    )


def crossing(cores: int) -> dict[str, list[float]]:
    """Return the best rate of each class, for an app that waits longer and longer, as shares of the best of all."""
    shares: dict[str, list[float]] = {each.value: [] for each in _CLASSES}
    shares["tuner"] = []
    for wait in _WAITS:
        row = measure("", App(_COMPUTE_SECONDS, wait * _COMPUTE_SECONDS), cores=cores, pods=1)
        most = max(row.best_rate, *row.of_classes.values())
        for worker_class in _CLASSES:
            shares[worker_class.value].append(row.of_classes.get(worker_class.value, 0.0) / most)
        shares["tuner"].append(row.tuned_rate / most)
    return shares


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a markdown table."""
    titles = (
        *("app", "pods × cores", "best static", "requests/s", "sync", "gthread", "gevent"),
        *("tuner's choice", "ratio", "p99 ratio", "settled s"),
    )
    kinds = ["---"] * 3 + ["---:"] * 4 + ["---"] + ["---:"] * 3
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, kinds)]
    before = ""
    for row in rows:
        shares = [f"{row.of_classes.get(each.value, 0.0) / row.best_rate:.2f}" for each in _CLASSES]
        cells = [
            "" if row.app == before else row.app,
            f"{row.pods} × {row.cores}",
            str(row.best),
            f"{row.best_rate:,.0f}",
            *shares,
            str(row.tuned),
            f"{row.ratio:.2f}",
            f"{row.tuned_p99 / row.best_p99:.2f}",
            f"{row.settled_at:.0f}",
        ]
        before = row.app
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot_scaling(path: Path, rows: Sequence[Row]) -> None:
    """Draw, for each app, the rate for each core against the number of cores: of each class, and of the tuner."""
    plt = report.pyplot()
    apps = list(dict.fromkeys(row.app for row in rows))
    figure, axes = plt.subplots(2, (len(apps) + 1) // 2, figsize=(12, 7), layout="constrained")
    for axis, app in zip(axes.flat, apps, strict=False):
        mine = [row for row in rows if row.app == app and row.pods == 1]
        cores = [row.cores for row in mine]
        for place, worker_class in enumerate(_CLASSES):
            rates = [row.of_classes.get(worker_class.value, 0.0) / row.cores for row in mine]
            axis.plot(cores, rates, f"C{place}--", label=f"best {worker_class.value}")
        axis.plot(cores, [row.tuned_rate / row.cores for row in mine], "ko-", markersize=4, label="tuner, one pod")
        pods = [row for row in rows if row.app == app and row.cores == 1]
        rates = [row.tuned_rate / row.pods for row in pods]
        axis.plot([row.pods for row in pods], rates, "kx:", markersize=5, label="tuner, pods of one core")
        axis.set(title=app, xscale="log", xlabel="cores", ylabel="requests/s for each core", ylim=(0, None))
        axis.set_xticks(cores, [str(each) for each in cores])
        axis.minorticks_off()
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    report.save(figure, path)


def plot_crossing(path: Path, shares: dict[int, dict[str, list[float]]]) -> None:
    """Draw, for each number of cores, the share of the best rate against how long a request waits."""
    plt = report.pyplot()
    figure, axes = plt.subplots(1, len(shares), figsize=(12, 3.5), layout="constrained", sharey=True)
    for axis, (cores, of) in zip(axes, shares.items(), strict=True):
        for name, values in of.items():
            axis.plot(range(len(_WAITS)), values, "ko-" if name == "tuner" else "--", markersize=4, label=name)
        axis.set(title=f"{cores} core{'s' if cores > 1 else ''}", xlabel="waiting ÷ computing", ylim=(0, 1.08))
        axis.set_xticks(range(len(_WAITS)), [f"{each:.0f}" for each in _WAITS], fontsize=8)
    axes[0].set_ylabel("share of the best")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    report.save(figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute everything, and return the process's status."""
    parser = argparse.ArgumentParser(prog="stablehand_bench.machines", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    machines = [(1, cores) for cores in CORES] + [(cores, 1) for cores in CORES[2:]]
    rows = []
    for name, app in APPS.items():
        for pods, cores in machines:
            sys.stderr.write(f"{name}: {pods} × {cores} cores\n")
            rows.append(measure(name, app, cores=cores, pods=pods))
    section = table(rows)
    sys.stdout.write(section)
    if options.docs:
        plot_scaling(_ROOT / "bench" / "machines-scaling.svg", rows)
        shares = {cores: crossing(cores) for cores in _CROSSING_CORES}
        plot_crossing(_ROOT / "bench" / "machines-crossing.svg", shares)
        report.write_json(_ROOT / "bench" / "machines.json", {"rows": [_plain(row) for row in rows]})
        report.write_section(_ROOT / "bench-machines.md", section)
    return 0


def _plain(row: Row) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "best": row.best.to_mapping(), "tuned": row.tuned.to_mapping()}


if __name__ == "__main__":
    sys.exit(main())
