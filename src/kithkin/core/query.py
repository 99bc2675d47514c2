"""Conditions such as "n_genes > 200 and pct_mito < 10" on a table: parsed, never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError

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
    return [ast.unparse(part) for part in parts]


def select(frame: pd.DataFrame, query: str) -> Array:
    """Find the rows of a table that meet a condition.

    Parameters
    ----------
    frame
        The table; its columns are the names that the query may use.
    query
        Comparisons (<, <=, >, >=, ==, !=, in, not in) of columns, numbers and texts, joined by and, or, not;
        + - * / between numbers. A row with a missing value meets no comparison.

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
    mask = np.asarray(result)
    if mask.dtype != bool or mask.shape != (len(frame),):
        raise ParameterError(f"query {query!r} must be a condition, such as 'n_genes > 200'")
    return mask


def _parse(query: str) -> ast.expr:
    try:
        return ast.parse(query.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ParameterError(
            f"query {query!r} cannot be read; write it like 'n_genes > 200 and pct_mito < 10'"
        ) from error


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
        case ast.Name(id=name):
            return _column(frame, name)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [_value(part, frame) for part in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return np.logical_and.reduce([_condition(part, frame) for part in parts])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return np.logical_or.reduce([_condition(part, frame) for part in parts])
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return ~_condition(part, frame)
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -_value(part, frame)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in COMBINE:
            return COMBINE[type(op)](_value(left, frame), _value(right, frame))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, frame) for side in (left, *others)]
            return np.logical_and.reduce([_compared(op, a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)])
    raise ParameterError(f"query: {ast.unparse(node)!r} is not allowed; use columns, comparisons, and, or, not, in")


def _condition(node: ast.expr, frame: pd.DataFrame) -> Array:
    value = np.asarray(_value(node, frame))
    if value.dtype != bool:
        raise ParameterError(f"query: {ast.unparse(node)!r} is not a condition that is true or false")
    return value


def _compared(op: ast.cmpop, left: Any, right: Any) -> Array:
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


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame.columns:
        raise ParameterError(
            f"query: there is no column {name!r}; there are {', '.join(map(str, frame.columns)) or 'none'}"
        )
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype) and not column.cat.ordered:
        return column.astype(column.cat.categories.dtype)
    return column
