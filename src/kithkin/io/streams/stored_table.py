"""A table of an AnnData file, in any of its forms (CSR, CSC, dense; old attributes too), as a stream of row blocks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.source import BlockStream, Source
from kithkin.io.streams.checks import Place, check_shape
from kithkin.io.streams.compressed import Compressed, open_compressed
from kithkin.io.streams.dense import dense_rows
from kithkin.io.streams.transpose import transpose, values_at_once


def is_array(node: Any) -> bool:
    """Whether a node of a file is an array rather than a group.

    Examples
    --------
    >>> import numpy as np
    >>> is_array(np.eye(2)), is_array({})
    (True, False)
    """
    return hasattr(node, "dtype") and hasattr(node, "shape")


def sparse_format(node: Any) -> str:
    """Tell "csr" or "csc" of a sparse group, and "" of anything else.

    Examples
    --------
    >>> sparse_format(None)
    ''
    """
    attributes = getattr(node, "attrs", {})
    stored = attributes.get("encoding-type", attributes.get("h5sparse_format", ""))
    text = stored.decode() if isinstance(stored, bytes) else str(stored)
    return text.removesuffix("_matrix") if text in ("csr", "csc", "csr_matrix", "csc_matrix") else ""


def is_empty(node: Any) -> bool:
    """Whether a node stands for nothing: absent, or AnnData's null.

    Examples
    --------
    >>> is_empty(None)
    True
    """
    return node is None or getattr(node, "attrs", {}).get("encoding-type") == "null"


def table_shape(node: Any, name: str, key: str) -> tuple[int, int]:
    """Rows and columns of a stored table.

    Raises
    ------
    FormatError
        If it is not a table, or has no rows or no columns.
    """
    if is_array(node):
        if node.dtype.kind not in "buif":
            raise FormatError(f"{name}: {key} must hold numbers, it holds {node.dtype}")
        return check_shape(node.shape, name, key)
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    if not sparse_format(node) or shape is None:
        raise FormatError(f"{name}: {key} is neither an array nor a sparse matrix with a shape")
    return check_shape(shape, name, key)


def table_stream(node: Any, key: str, source: Source) -> tuple[BlockStream, int | None]:
    """How to stream a stored table by rows, and how many values it stores (None for a dense one).

    Parameters
    ----------
    node
        HDF5 or Zarr dataset or group.
    key
        Its name in messages.
    source
        Whose name messages carry, and whose scratch folder a transposition uses.

    Raises
    ------
    FormatError
        If its header contradicts itself.
    """
    n_rows, n_columns = table_shape(node, source.name, key)
    if is_array(node):
        return partial(dense_rows, node, Place(source.name, key)), None
    if sparse_format(node) == "csr":
        table = open_compressed(node, n_rows, n_columns, Place(source.name, key))
        return table.blocks, table.stored
    place = Place(source.name, key, line="column", across="row")
    table = open_compressed(node, n_columns, n_rows, place)
    return partial(transposed, source, table), table.stored


def transposed(source: Source, table: Compressed, execution: Execution) -> Iterator[SparseRows]:
    """Stream the rows of a table that is compressed by columns."""
    chunks = table.lines(values_at_once(execution))
    place = Place(source.name, table.place.key)
    return transpose(chunks, table.width, len(table.indptr) - 1, execution, source.scratch, place=place)
