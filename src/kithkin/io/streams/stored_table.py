"""Tables of AnnData files in any form (CSR, CSC, dense; old attributes too), as streams of row blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.source import BlockStream, Source
from kithkin.io.streams.checks import Place, check_shape
from kithkin.io.streams.compressed import Compressed, open_compressed
from kithkin.io.streams.dense import by_range, dense_rows
from kithkin.io.streams.sequential import Unreadable
from kithkin.io.streams.transpose import transpose, values_at_once

UNCHECKED, LARGEST_CHUNK = 1 << 28, 1 << 31  # bytes
MOST_PACKED = 4096  # bytes that a stored byte stands for, at most


def is_array(node: Any) -> bool:
    """Tell whether a node of a file is an array rather than a group."""
    return hasattr(node, "dtype") and hasattr(node, "shape")


def sparse_format(node: Any) -> str:
    """Return "csr" or "csc" for a sparse group, and "" for anything else."""
    attributes = getattr(node, "attrs", {})
    stored = attributes.get("encoding-type", attributes.get("h5sparse_format", ""))
    text = stored.decode() if isinstance(stored, bytes) else str(stored)
    return text.removesuffix("_matrix") if text in ("csr", "csc", "csr_matrix", "csc_matrix") else ""


def is_empty(node: Any) -> bool:
    """Tell whether a node stands for nothing: absent, or AnnData's null."""
    return node is None or getattr(node, "attrs", {}).get("encoding-type") == "null"


def table_shape(node: Any, name: str, key: str) -> tuple[int, int]:
    """Return rows and columns of a stored table.

    Raises FormatError if it is not a table, or has no rows or no columns.
    """
    if is_array(node):
        if node.dtype.kind not in "buif":
            raise Unreadable(f"{name}: {key} must hold numbers, it holds {node.dtype}")
        check_extent(node, name, key)
        return check_shape(node.shape, name, key)
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    if not sparse_format(node) or shape is None:
        raise Unreadable(f"{name}: {key} is neither an array nor a sparse matrix with a shape")
    return check_shape(shape, name, key)


def check_extent(node: Any, name: str, key: str) -> None:
    """Refuse a stored array whose shape is far beyond its bytes on disk: reading it would fill the memory with zeros.

    Raises FormatError if the array would take more than 256 MB and more than a thousand times its bytes on disk, or one
    of its chunks more than 2 GB.
    """
    size = math.prod(int(n) for n in node.shape) * node.dtype.itemsize
    chunk = math.prod(int(n) for n in (getattr(node, "chunks", None) or ())) * node.dtype.itemsize
    if chunk > LARGEST_CHUNK:
        raise FormatError(f"{name}: {key} has chunks of {chunk} bytes, more than can be read")
    if size <= UNCHECKED:
        return
    if hasattr(node, "id") and hasattr(node.id, "get_storage_size"):
        stored = node.id.get_storage_size()
    elif hasattr(node, "nbytes_stored"):
        stored = node.nbytes_stored()
    else:
        return
    if size > MOST_PACKED * max(stored, 1):
        raise FormatError(f"{name}: {key} promises {size} bytes, but only {stored} are stored")


def table_stream(node: Any, key: str, source: Source, to: str | None = None) -> tuple[BlockStream, int | None]:
    """Return the stream of a stored table by rows, and the number of stored values (None for a dense one).

    The source that it belongs to gives the name for messages, and the scratch folder for a transposition; it is told
    how other processes read the rows, if the table goes `to` a key. Raises FormatError if its header contradicts
    itself.
    """
    n_rows, n_columns = table_shape(node, source.name, key)
    if is_array(node):
        place = Place(source.name, key, missing=key == "X")
        if to is not None:
            source.ranges[to] = partial(by_range, node, place)
        return partial(dense_rows, node, place), None
    if sparse_format(node) == "csr":
        table = open_compressed(node, n_rows, n_columns, Place(source.name, key))
        if to is not None:
            source.ranges[to] = table.by_range
        return table.blocks, table.stored
    place = Place(source.name, key, line="column", across="row")
    table = open_compressed(node, n_columns, n_rows, place)
    return partial(transposed, source, table), table.stored


def transposed(source: Source, table: Compressed, execution: Execution) -> Iterator[SparseRows]:
    """Stream the rows of a table that is compressed by columns."""
    chunks = table.lines(values_at_once(execution))
    place = Place(source.name, table.place.key)
    return transpose(chunks, table.width, len(table.indptr) - 1, execution, source.scratch, place=place)
