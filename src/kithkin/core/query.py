"""Conditions such as "n_genes > 200 and pct_mito < 10" on a table: parsed, never run as code."""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check, listed
from kithkin.core.suggest import did_you_mean

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
# what a column or a constant holds, as pandas calls it, and how that is said; any other kind compares as it can
KINDS = {"string": "text", "boolean": "true and false"} | dict.fromkeys(
    ("integer", "floating", "mixed-integer-float", "decimal"), "numbers"
)
QUOTED_OR_TICKED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`([^`]+)`")


def conditions(query: str) -> list[str]:
    """Split a query at `and` into conditions of their own."""
    body = _parse(query)
    parts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
    return [ast.unparse(part) for part in parts]


def names_of(query: str) -> list[str]:
    """List the names that a query may read; of a name with dots also its beginnings.

    Examples
    --------
    >>> names_of("n_genes > 200 and `cell type` == 'T'")
    ['n_genes', 'cell type']
    """
    nodes = [node for node in ast.walk(_parse(query)) if isinstance(node, (ast.Name, ast.Attribute))]
    return list(dict.fromkeys(ast.unparse(node).strip("`") for node in nodes))


def select(frame: pd.DataFrame, query: str) -> Array:
    """Find the rows of a table that meet a condition.

    Parameters
    ----------
    frame
        The table; its columns are the names that the query may use.
    query
        Comparisons (<, <=, >, >=, ==, !=, in, not in) of columns, numbers and texts, joined by and, or, not;
        + - * / between numbers. A column whose name is no word stands in backticks, and a column of booleans is a
        condition itself. A row with a missing value meets no comparison. Where all labels are whole numbers, as those
        of clusters are, `leiden == 0` is `leiden == '0'`.

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
    >>> frame = pd.DataFrame({"n_genes": [100, 300], "cell type": ["T", "B"]})
    >>> select(frame, "n_genes > 200 and `cell type` in ['B', 'NK']").tolist()
    [False, True]
    """
    try:
        result = _value(_parse(query), frame)
    except (TypeError, ArithmeticError, RecursionError) as error:
        raise ParameterError(f"query {query!r} compares what cannot be compared: {error}") from error
    mask = _truth(result)
    if mask is None or mask.shape != (len(frame),):
        raise ParameterError(f"query {query!r} must be a condition, such as 'n_genes > 200'")
    return mask


def _parse(query: str) -> ast.expr:
    """Parse a query; names in backticks become names of the tree, backticks included."""
    mark = "_"
    while mark in query:
        mark += "_"
    ticked: list[str] = []

    def replace(part: re.Match[str]) -> str:
        if part[1] is None:
            return part[0]
        ticked.append(part[0])
        return f"{mark}{len(ticked) - 1}{mark}"

    text = QUOTED_OR_TICKED.sub(replace, query.strip())
    try:
        body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ParameterError(
            f"query {query!r} cannot be read; write it like 'n_genes > 200 and pct_mito < 10', "
            "and put a name with spaces or dots in backticks"
        ) from error
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and node.id.startswith(mark) and node.id.endswith(mark):
            node.id = ticked[int(node.id.strip("_"))]
    return body


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
        case ast.Name(id=name):
            return _column(frame, name.strip("`"))
        case ast.Attribute() if re.fullmatch(r"\w+(\.\w+)+", ast.unparse(node)):
            return _column(frame, ast.unparse(node))
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [_value(part, frame) for part in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return np.logical_and.reduce([_condition(part, frame) for part in parts])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return np.logical_or.reduce([_condition(part, frame) for part in parts])
        case ast.UnaryOp(op=ast.Not(), operand=part):
            value, met = _value(part, frame), _condition(part, frame)
            return ~met & value.notna().to_numpy() if isinstance(value, pd.Series) else ~met
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -_number(part, frame)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in COMBINE:
            return COMBINE[type(op)](_number(left, frame), _number(right, frame))
        case ast.Compare(left=left, ops=ops, comparators=others):
            nodes = [left, *others]
            pairs = zip(ops, nodes, nodes[1:], strict=False)
            return np.logical_and.reduce([_compare(op, a, b, frame) for op, a, b in pairs])
    raise ParameterError(f"query: {ast.unparse(node)!r} is not allowed; use columns, comparisons, and, or, not, in")


def _truth(value: Any) -> Array | None:
    """Read a value as booleans, a missing one as false; None if it holds anything else."""
    if isinstance(value, pd.Series) and pd.api.types.infer_dtype(value, skipna=True) == "boolean":
        mask: Array = value.astype("boolean").fillna(False).to_numpy(dtype=bool)
        return mask
    plain: Array = np.asarray(value)
    return plain if plain.dtype == bool else None


def _condition(node: ast.expr, frame: pd.DataFrame) -> Array:
    mask = _truth(_value(node, frame))
    if mask is None:
        raise ParameterError(f"query: {ast.unparse(node)!r} is not a condition that is true or false")
    return mask


def _number(node: ast.expr, frame: pd.DataFrame) -> Any:
    value = _value(node, frame)
    check(_kind(value) != "text", f"query: {ast.unparse(node)} holds text, which cannot be used in arithmetic")
    return value


def _kind(value: Any) -> str:
    """Say what a column or a constant holds: text, numbers, true and false; "" for anything else."""
    if not isinstance(value, pd.Series):
        value = [value]
    elif isinstance(value.dtype, pd.CategoricalDtype):
        value = value.cat.categories
    return KINDS.get(pd.api.types.infer_dtype(value, skipna=True), "")


def _compare(op: ast.cmpop, a: ast.expr, b: ast.expr, frame: pd.DataFrame) -> Array:
    left, right = _value(a, frame), _value(b, frame)
    several = isinstance(op, (ast.In, ast.NotIn))
    if several or isinstance(op, (ast.Eq, ast.NotEq)):
        left, right = _as_label(left, right), _as_label(right, left)
    if several and not (isinstance(left, pd.Series) and isinstance(right, list)):
        raise ParameterError("query: write `column in ['a', 'b']`")
    for other in right if several else [right]:
        kinds = _kind(left), _kind(other)
        if "text" in kinds and kinds[0] != kinds[1] and all(kinds):
            raise ParameterError(f"query: {_clash(a, b, *kinds)}")
    if several:
        inside: Array = left.isin(right).to_numpy(dtype=bool)
        outside: Array = ~inside & left.notna().to_numpy()
        return inside if isinstance(op, ast.In) else outside
    if type(op) not in COMPARE:
        raise ParameterError("query: only <, <=, >, >=, ==, !=, in and not in compare")
    met: Array = pd.Series(COMPARE[type(op)](left, right)).fillna(False).to_numpy(dtype=bool)
    for side in (left, right):
        if isinstance(side, pd.Series):
            met = met & side.notna().to_numpy()
    return met


def _as_label(value: Any, column: Any) -> Any:
    """Turn whole numbers that are compared with labels which are all whole numbers into such labels."""
    if isinstance(value, list):
        return [_as_label(one, column) for one in value]
    if not isinstance(value, int) or isinstance(value, bool) or not isinstance(column, pd.Series):
        return value
    labels: Any = column.dropna().unique() if _kind(column) == "text" else []
    return str(value) if len(labels) and all(re.fullmatch(r"-?[0-9]+", label) for label in labels) else value


def _clash(a: ast.expr, b: ast.expr, left: str, right: str) -> str:
    """Say that text is compared with something else, and how to write it."""
    text, other = (a, b) if left == "text" else (b, a)
    said = left if right == "text" else right
    if isinstance(other, (ast.Constant, ast.List, ast.Tuple, ast.Set)):
        constants = [
            repr(str(part.value)) for part in getattr(other, "elts", [other]) if isinstance(part, ast.Constant)
        ]
        return f"{ast.unparse(text)} holds text, got {ast.unparse(other)}: write {', '.join(constants)}"
    return f"{ast.unparse(other)} holds {said}, got the text {ast.unparse(text)}"


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame.columns:
        written = {str(column): str(column) for column in frame.columns}
        written |= {one: f"`{one}`" for one in written if not one.isidentifier() or keyword.iskeyword(one)}
        meant = did_you_mean(name, written)
        there = f"{meant} There are" if meant else "; there are"
        raise ParameterError(f"query: there is no column {name!r}{there} {listed(written.values(), quoted=False)}")
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype) and not column.cat.ordered:
        kind: Any = column.cat.categories.dtype
        if column.isna().any():
            kind = {"b": "boolean", "i": "Int64", "u": "UInt64"}.get(kind.kind, kind)
        return column.astype(kind)
    return column
