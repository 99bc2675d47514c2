"""Conditions such as "n_genes > 200 and pct_mito < 10" on a table: parsed, never run as code."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError

WORD = "backtick_"  # stands before the hexadecimal bytes of a name in backticks
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
COMBINE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def conditions(query: str) -> list[str]:
    """Split a query at `and` into conditions of their own.

    Examples
    --------
    >>> conditions("n_genes > 200 and pct_mito < 10")
    ['n_genes > 200', 'pct_mito < 10']
    """
    body = _parse(query)
    parts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
    return [_unparse(part) for part in parts]


def select(frame: pd.DataFrame, query: str) -> Array:
    """Find the rows of a table that meet a condition.

    Parameters
    ----------
    frame
        The table; its columns are the names that the query may use.
    query
        Comparisons (<, <=, >, >=, ==, !=, in, not in) of columns, numbers and texts, joined by and, or, not;
        + - * / between numbers. Names of columns that are no words stand in backticks: `cell type` == "T". A row with
        a missing value meets no comparison.

    Returns
    -------
    ndarray
        n booleans.

    Raises
    ------
    ParameterError
        If the query cannot be read, names a column that is not there, or compares a text with a number.

    Examples
    --------
    >>> frame = pd.DataFrame({"n_genes": [100, 300], "kind": ["T", "B"]})
    >>> select(frame, "n_genes > 200 and kind in ['B', 'NK']").tolist()
    [False, True]
    """
    try:
        result = _value(_parse(query), frame)
    except TypeError as error:
        raise ParameterError(f"query {query!r} compares what cannot be compared: {error}") from error
    mask = _truth(result)
    if mask.dtype != bool or mask.shape != (len(frame),):
        raise ParameterError(f"query {query!r} must be a condition, such as 'n_genes > 200'")
    return mask


def _parse(query: str) -> ast.expr:
    # texts in quotes stay as they are; names in backticks become words
    words = re.sub(
        r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`([^`]+)`""",
        lambda match: match[1] or f"{WORD}{match[2].encode().hex()}",
        query.strip(),
    )
    try:
        return ast.parse(words, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ParameterError(
            f"query {query!r} cannot be read; write it like 'n_genes > 200 and pct_mito < 10', with names that are no "
            "words in backticks"
        ) from error


def _unparse(node: ast.expr) -> str:
    return re.sub(
        rf"{WORD}((?:[0-9a-f]{{2}})+)", lambda match: f"`{bytes.fromhex(match[1]).decode()}`", ast.unparse(node)
    )


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
        case ast.Name(id=name) if name.startswith(WORD):
            return _column(frame, bytes.fromhex(name.removeprefix(WORD)).decode())
        case ast.Name() | ast.Attribute():  # percent.mt reads as an attribute
            return _column(frame, ast.unparse(node))
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [_value(part, frame) for part in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return np.logical_and.reduce([_condition(part, frame) for part in parts])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return np.logical_or.reduce([_condition(part, frame) for part in parts])
        case ast.UnaryOp(op=ast.Not(), operand=part):
            truth = _value(part, frame)
            missing = truth.isna().to_numpy() if isinstance(truth, pd.Series) else False
            return ~_condition(part, frame) & ~np.asarray(missing)
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -_value(part, frame)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in COMBINE:
            return COMBINE[type(op)](_value(left, frame), _value(right, frame))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, frame) for side in (left, *others)]
            written = [_unparse(side) for side in (left, *others)]
            pairs = zip(ops, sides, sides[1:], pairwise(written), strict=False)
            return np.logical_and.reduce([_compared(op, a, b, names) for op, a, b, names in pairs])
    raise ParameterError(f"query: {_unparse(node)!r} is not allowed; use columns, comparisons, and, or, not, in")


def _condition(node: ast.expr, frame: pd.DataFrame) -> Array:
    value = _truth(_value(node, frame))
    if value.dtype != bool:
        raise ParameterError(f"query: {_unparse(node)!r} is not a condition that is true or false")
    return value


def _truth(value: Any) -> Array:
    """Return a condition as an array; a missing value is not true."""
    if isinstance(value, pd.Series) and pd.api.types.is_bool_dtype(value.dtype):
        return value.fillna(False).to_numpy(bool)
    return np.asarray(value)


def _compared(op: ast.cmpop, left: Any, right: Any, written: tuple[str, str]) -> Array:
    _check_kinds(left, right, written)
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(left, pd.Series) or not isinstance(right, list):
            raise ParameterError("query: write `column in ['a', 'b']`")
        inside = left.isin(right).to_numpy(dtype=bool)
        return inside if isinstance(op, ast.In) else ~inside & left.notna().to_numpy()
    if type(op) not in COMPARE:
        raise ParameterError("query: only <, <=, >, >=, ==, !=, in and not in compare")
    met: Array = pd.Series(COMPARE[type(op)](left, right)).fillna(False).to_numpy(dtype=bool)
    for side in (left, right):
        if isinstance(side, pd.Series):
            met = met & side.notna().to_numpy()
    return met


def _check_kinds(left: Any, right: Any, written: tuple[str, str]) -> None:
    """Refuse comparisons that can never be met: of a column of texts with numbers, or of numbers with texts."""
    for column, other, name in ((left, right, written[0]), (right, left, written[1])):
        if not isinstance(column, pd.Series):
            continue
        values = other if isinstance(other, list) else [other]
        kinds = {_kind(value) for value in values if not (isinstance(value, list) or _kind(value) == "")}
        kind = _kind(column)
        if kind and kinds - {kind}:
            example = next(value for value in values if _kind(value) != kind)
            advice = f"write {str(example)!r}" if kind == "texts" else f"not {example!r}"
            raise TypeError(f"{name} holds {kind}, {'not another kind' if isinstance(example, pd.Series) else advice}")


def _kind(value: Any) -> str:
    """Tell whether a value or a column is of texts or of numbers; "" if neither can be said."""
    if not isinstance(value, pd.Series):
        return "texts" if isinstance(value, str) else "numbers" if isinstance(value, (bool, int, float)) else ""
    if pd.api.types.is_numeric_dtype(value.dtype):
        return "numbers"
    if isinstance(value.dtype, pd.CategoricalDtype):
        return _kind(pd.Series(value.cat.categories))
    inferred = pd.api.types.infer_dtype(value, skipna=True)
    return {"string": "texts", "integer": "numbers", "floating": "numbers", "boolean": "numbers"}.get(inferred, "")


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame.columns:
        raise ParameterError(
            f"query: there is no column {name!r}; there are {', '.join(map(str, frame.columns)) or 'none'}"
        )
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype) and not column.cat.ordered:
        kind: Any = column.cat.categories.dtype
        if column.isna().any():
            kind = {"b": "boolean", "i": "Int64", "u": "UInt64"}.get(kind.kind, kind)
        return column.astype(kind)
    return column
