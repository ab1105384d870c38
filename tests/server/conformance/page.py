"""The page that shows all cases: docs/conformance.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import CASES
from conformance.columns import COLUMNS
from conformance.differences import Difference, Explanation, find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conformance.running import Outcome

PATH = Path(__file__).parents[3] / "docs" / "conformance.md"
_HEAD = """# Conformance

What clients and apps see of plain gunicorn and of stablehand-server, case by case and class by class.
`make conformance` runs all of it on both, side by side, and writes this page. `make test` runs it again, and fails
where ours ends otherwise than gunicorn without a reason that is listed below, or where a listed difference is gone. The
cases are in [`tests/server/conformance/cases`](../tests/server/conformance/cases), the reasons in
[`differences.yaml`](../tests/server/conformance/differences.yaml).

How to read it: `200 'text'` is a response and its body, of a long one its length and the beginning of its digest; `cut`
is one that ended too soon; a word after the responses says how the connection ended: `closed`, `reset`, or `silent`
where nothing came any more. One outcome in a cell is that of both servers. – is a case that does not suit the class.
Where a difference is a defect of ours, the list below says so.

"""


def written(outcomes: Mapping[str, Mapping[str, Outcome]], differences: tuple[Difference, ...]) -> str:
    """Return the page: `outcomes` by column and case."""
    parts = [_HEAD, "| class here | beside |\n|---|---|\n"]
    parts += [f"| {name} | {column.note or 'the same class'} |\n" for name, column in COLUMNS.items()]
    parts.append(f"\n{len(CASES)} cases, {sum(len(each) for each in outcomes.values())} outcomes on each side.\n")
    for group in dict.fromkeys(case.group for case in CASES.values()):
        parts.append(f"\n## {group}\n\n| case | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n")
        parts += [
            f"| {_text(name)} | {' | '.join(_cell(name, column, outcomes, differences) for column in COLUMNS)} |\n"
            for name, case in CASES.items()
            if case.group == group
        ]
    parts += ["\n## Differences\n\n", *explained(differences)]
    return "".join(parts)


def explained(differences: tuple[Difference, ...]) -> Iterator[str]:
    """Return a line for each explanation."""
    explanations: dict[int, Explanation] = {each.explanation.number: each.explanation for each in differences}
    for number, each in explanations.items():
        where = "A defect of ours, not mended yet." if each.defect else f"In [server.md](server.md): {each.row}."
        yield f"{number}. {' '.join(each.why.split())} {where}\n"


def _cell(
    case: str, column: str, outcomes: Mapping[str, Mapping[str, Outcome]], differences: tuple[Difference, ...]
) -> str:
    outcome = outcomes[column].get(case)
    if outcome is None:
        return "–"
    difference = find(differences, case, column)
    if outcome.gunicorn == outcome.ours and difference is None:
        return code(outcome.ours)
    reason = f"[{difference.explanation.number}](#differences)" if difference else "unexplained"
    return f"gunicorn {code(outcome.gunicorn)}, here {code(outcome.ours)} ({reason})"


def code(text: str) -> str:
    """Return an outcome as the page shows it."""
    return f"`{text.replace('|', '¦').replace('`', chr(39))}`"


def _text(text: str) -> str:
    return text.replace("|", "\\|")
