"""Run the cases, print what no difference explains, and write the page: `python -m conformance [--page]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import conformance.cases  # noqa: F401 (declares them)
from conformance import page
from conformance.case import CASES
from conformance.columns import COLUMNS
from conformance.differences import complaint, listed
from conformance.running import failures, run_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.running import Outcome

_COLUMNS_AT_ONCE = 2


def main() -> int:
    """Run what the command line names; return 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help=f"write {page.PATH.name}")
    parser.add_argument("--column", action="append", choices=COLUMNS, help="only this one; may be repeated")
    parser.add_argument("--case", action="append", help="only cases with this in their names; may be repeated")
    parser.add_argument("--all", action="store_true", help="print all outcomes")
    parser.add_argument("--keep", help="a new folder for what servers log")
    options = parser.parse_args()
    if options.page and (options.column or options.case):
        parser.error("the page is written from a run of everything")
    cases = [case for case in CASES.values() if not options.case or any(part in case.name for part in options.case)]
    names = options.column or list(COLUMNS)
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(_COLUMNS_AT_ONCE) as pool:
        place = Path(options.keep or directory)
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
        found = dict(zip(names, pool.map(lambda name: run_column(COLUMNS[name], cases, place), names), strict=True))
    unexplained = list(_unexplained(found))
    shown = [_entry(column, name, each) for column, of in found.items() for name, each in of.items() if options.all]
    if shown or unexplained:
        sys.stdout.write(yaml.safe_dump(shown or unexplained, sort_keys=False, width=200, allow_unicode=True))
    failed = [f"{column}: {each}" for column, outcomes in found.items() for each in failures(outcomes)]
    sys.stdout.writelines(failed)
    if options.page and not failed:
        page.PATH.write_text(page.written(found, listed()))
    return 1 if unexplained or failed else 0


def _unexplained(found: Mapping[str, Mapping[str, Outcome]]) -> list[dict[str, object]]:
    differences = listed()
    entries: dict[tuple[str, str, str, str], dict[str, object]] = {}
    for column, outcomes in found.items():
        for name, outcome in outcomes.items():
            said = complaint(name, column, outcome, differences, strict=True)
            if said:
                key = (name, outcome.gunicorn, outcome.ours, said)
                entry = entries.setdefault(key, {**_entry(column, name, outcome), "columns": [], "said": said})
                entry["columns"].append(column)
    return list(entries.values())


def _entry(column: str, name: str, outcome: Outcome) -> dict[str, object]:
    return {"case": name, "columns": [column], "gunicorn": outcome.gunicorn, "ours": outcome.ours}


if __name__ == "__main__":
    sys.exit(main())
