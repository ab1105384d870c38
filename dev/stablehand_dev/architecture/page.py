"""The generated part of docs/architecture.md: a drawing in Mermaid and a table for each distribution."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from stablehand_dev.architecture.imports import Arrows, Imports, without_detours
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Collection

PAGE = REPOSITORY / "docs" / "architecture.md"
BEGIN = "<!-- generated from the imports by `make generate`: begin -->\n"
END = "<!-- generated from the imports: end -->\n"
# The packages whose parts are drawn. The operator is still mostly one flat folder, and dev/ is never released.
PARTS_OF = ("stablehand_tuner", "stablehand_server")


def renewed(text: str) -> str:
    """Return the page's text with its generated part regenerated.

    Raises:
        DevelopmentError: when the page has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DevelopmentError(f"{PAGE} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return before + begin + generated(Imports()) + end + after


def generated(imports: Imports) -> str:
    """Return the generated part."""
    parts = ["\n", _drawing(imports.between_packages(), "the distributions")]
    for package in PARTS_OF:
        arrows = imports.between_parts(package)
        folder = package.removeprefix("stablehand_")
        parts += [f"\n### Inside {folder}/\n\n", _drawing(arrows, package), "\n", _table(imports, arrows)]
    return "".join([*parts, "\n"])


def _drawing(arrows: Arrows, title: str) -> str:
    lines = [f'  %% {title}: an arrow means "imports"; what a longer way implies is left out']
    for place, others in without_detours(arrows).items():
        lines.append(f"  {_name(place)}[{_name(place)}]")
        lines += [f"  {_name(place)} --> {_name(other)}" for other in sorted(others)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def _table(imports: Imports, arrows: Arrows) -> str:
    rows = [
        f"| `{_name(part)}{'/' if imports.is_folder(part) else '.py'}` | {_first_sentence(part)} | {_names(others)} |\n"
        for part, others in sorted(arrows.items())
    ]
    return "".join(["| part | what it is | imports |\n", "|---|---|---|\n", *rows])


def _names(places: Collection[str]) -> str:
    return ", ".join(sorted(_name(place) for place in places)) or "–"


def _name(place: str) -> str:
    return place.rpartition(".")[2]


def _first_sentence(module: str) -> str:
    folder = module.split(".", maxsplit=1)[0].removeprefix("stablehand_")
    place = REPOSITORY.joinpath(folder, *module.split("."))
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    documentation = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return documentation.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
