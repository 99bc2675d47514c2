"""Types of arguments, compared with the annotations of a function, for one sentence where one is wrong."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sized
from functools import cache
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from kithkin.core.errors import brief, check_choice

FEW = 1000  # items of a list that are looked at


class Kind(NamedTuple):
    """One type that an annotation allows."""

    words: str  # in a sentence, such as "a whole number"
    fits: Callable[[Any], bool]
    several: str = ""  # words for more than one, such as "whole numbers"


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


KINDS = {
    "int": Kind("a whole number", _is_whole, "whole numbers"),
    "float": Kind("a number", _is_number, "numbers"),
    "str": Kind("text", lambda value: isinstance(value, str), "texts"),
    "bool": Kind("True or False", lambda value: isinstance(value, (bool, np.bool_)), "booleans"),
    "None": Kind("None", lambda value: value is None),
    "Path": Kind("a path", lambda value: isinstance(value, PathLike), "paths"),
    "Dataset": Kind("a dataset", lambda value: hasattr(value, "read") and hasattr(value, "n_obs"), "datasets"),
    "Any": Kind("anything", lambda _: True, "values"),
}
LISTS = {"Sequence", "Iterable", "list", "tuple"}


def wrong_type(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Say in one sentence which argument has another type than its annotation; "" if none has.

    Annotations are read as texts. What they name beside numbers, texts, booleans, lists, mappings and None is not
    looked at.

    Raises
    ------
    ParameterError
        If it is not one of the words that the annotation lists.

    Examples
    --------
    >>> def draw(ds, size: float | None = None, dims: tuple[int, int] = (0, 1)): ...
    >>> wrong_type(draw, {"size": "big"})
    "size must be a number or None, got 'big'"
    >>> wrong_type(draw, {"size": 2, "dims": (0, "x")})
    "dims must be 2 whole numbers, got (0, 'x')"
    """
    for name, parameter in inspect.signature(function).parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if several or name not in arguments or parameter.annotation is parameter.empty:
            continue
        text = parameter.annotation
        value, (kinds, choices) = (
            arguments[name],
            _kinds(text if isinstance(text, str) else inspect.formatannotation(text)),
        )
        if not kinds or any(kind.fits(value) for kind in kinds):
            continue
        if choices and len(kinds) == 1:
            check_choice(name, value, choices)
        return f"{name} must be {' or '.join(dict.fromkeys(kind.words for kind in kinds))}, got {brief(value)}"
    return ""


@cache
def _kinds(annotation: str) -> tuple[tuple[Kind, ...], tuple[Any, ...]]:
    """Read an annotation: the types that it allows, none if one of them is not known, and the words of a Literal."""
    members, stack = list[ast.expr](), [ast.parse(annotation, mode="eval").body]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.BinOp):
            stack += [node.right, node.left]
        else:
            members.append(node)
    kinds, choices = list[Kind](), list[Any]()
    for node in members:
        kind = _kind(node)
        if kind is None:
            return (), ()
        kinds.append(kind)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            choices += _literals(node)
    return tuple(kinds), tuple(choices)


def _literals(node: ast.Subscript) -> list[Any]:
    listed = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return [ast.literal_eval(one) for one in listed]


def _kind(node: ast.expr) -> Kind | None:
    """Read one member of an annotation; None if it is not known here."""
    if not isinstance(node, ast.Subscript):
        return KINDS.get(ast.unparse(node))
    origin = ast.unparse(node.value)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if origin == "Literal":
        choices = _literals(node)
        return Kind(
            f"one of {', '.join(map(repr, choices))}", lambda value: isinstance(value, str) and value in choices
        )
    if origin == "Callable":
        return Kind("a function", callable, "functions")
    if origin in ("Mapping", "dict"):
        return Kind("a mapping", lambda value: isinstance(value, Mapping))
    items = [_kinds(ast.unparse(one))[0] for one in inner if ast.unparse(one) != "..."]
    if origin not in LISTS or not all(items):
        return None
    fixed = origin == "tuple" and len(items) == len(inner)

    def fits(value: Any) -> bool:
        if (
            isinstance(value, (str, bytes, Mapping))
            or not isinstance(value, Iterable)
            or getattr(value, "ndim", 1) != 1
        ):
            return False
        if not isinstance(value, Sized):  # a stream, which is read once
            return not fixed
        if fixed and len(value) != len(items):
            return False
        return all(
            any(kind.fits(one) for kind in items[k % len(items)]) for k, one in zip(range(FEW), value, strict=False)
        )

    several = items[0][0].several or "values"
    return Kind(f"{len(items)} {several}" if fixed else f"a list of {several}", fits)
