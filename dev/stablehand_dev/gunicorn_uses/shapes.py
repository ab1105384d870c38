"""What a name of gunicorn's looks like from outside: a function's or method's parameters, or that it is there."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTRIBUTE = "attribute"


def of_value(value: Any) -> str:
    """Return the shape of a module's name, or of what a class's dictionary has."""
    if isinstance(value, classmethod | staticmethod):
        return f"{type(value).__name__} {of_value(value.__func__)}"
    if isinstance(value, type | ModuleType):
        return "class" if isinstance(value, type) else "module"
    if isinstance(value, property):
        return "property"
    if inspect.isfunction(value):
        prefix = "async " if inspect.iscoroutinefunction(value) else ""
        return f"{prefix}{inspect.signature(value)}"
    return ATTRIBUTE


def of_member(classes: Iterable[type[Any]], name: str) -> tuple[str, str] | None:
    """Return where the first of some classes that has a member has it, and its shape; None where none has it."""
    for each in classes:
        if name in vars(each):
            return f"{each.__module__}.{each.__qualname__}.{name}", of_value(vars(each)[name])
        if name in _assigned(each.__module__, each.__name__):
            return f"{each.__module__}.{each.__qualname__}.{name}", ATTRIBUTE
    return None


def attributes_of(tree: ast.AST, receivers: Iterable[str]) -> set[str]:
    """Return the names that code asks of what is called by one of some names, or ends in one, and of super()."""
    wanted = set(receivers)
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _called(node.value) in wanted}


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of a module that has been imported."""
    path = sys.modules[module].__file__
    return ast.parse("" if path is None else Path(path).read_text(encoding="utf-8"))


@functools.cache
def tree_of_class(module: str, name: str) -> ast.AST:
    """Return the syntax tree of a class that is defined at the top of a module, empty where it is not."""
    classes = (node for node in tree_of(module).body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name == name), ast.Module([], []))


@functools.cache
def _assigned(module: str, name: str) -> frozenset[str]:
    """Return the names that a class's methods assign to their instance."""
    nodes = (node for node in ast.walk(tree_of_class(module, name)) if isinstance(node, ast.Attribute))
    return frozenset(each.attr for each in nodes if isinstance(each.ctx, ast.Store) and _called(each.value) == "self")


def _called(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"{node.func.id}()"
    return None
