"""Check of a graph of weighted links, before an algorithm takes one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks, as_csr, offsets
from kithkin.core.errors import check
from kithkin.kernels.walk import strengths

WRONG_WEIGHTS = "graph must have weights that are finite and not negative"


def checked_graph(graph: Any) -> sparse.csr_matrix:
    """Return the graph as a canonical matrix, after checking that it is one of undirected weighted links.

    graph: n x n, sparse or dense.
    Raises ParameterError if it is not square, not symmetric, or has weights that are negative or not finite.
    """
    matrix = as_csr(graph, "graph")
    n_nodes, n_columns = matrix.shape
    check(n_nodes == n_columns, f"graph must be square, got {n_nodes} x {n_columns}")
    checked_strengths(links_of(matrix, np.float32 if matrix.dtype == np.float32 else np.float64))
    return matrix


class GraphBlocks:
    """A graph as blocks of sparse rows after the checks of checked_graph; one on disk is not taken into memory.

    blocks: n x n row blocks.
    pointers: n + 1 int64: begin of each row among all links.
    """

    def __init__(self, graph: Any) -> None:
        blocks = graph if isinstance(graph, Blocks) else as_blocks(as_csr(graph, "graph"))
        n_nodes, n_columns = blocks.shape
        check(n_nodes == n_columns, f"graph must be square, got {n_nodes} x {n_columns}")
        check(blocks.is_sparse, "graph must be sparse, got dense row blocks")
        (out_of, into), lengths = np.zeros((2, n_nodes)), np.zeros(n_nodes, np.int64)
        for start, stop in blocks.ranges:
            block: Any = blocks.read(start, stop)
            links = block.data, block.indices.astype(np.uint32, copy=False), block.indptr.astype(np.uint64)
            check(strengths(*links, out_of[start:stop], into) < 0, WRONG_WEIGHTS)
            lengths[start:stop] = np.diff(block.indptr)
        _check_symmetric(out_of, into)
        self.blocks, self.pointers = blocks, offsets(lengths)

    def read_links(self) -> tuple[Array, Array, Array]:
        """Read all links into memory, in the form of links_of; double precision stays double."""
        weights = np.empty(self.pointers[-1], np.float64 if self.blocks.dtype == np.float64 else np.float32)
        ends = np.empty(self.pointers[-1], np.uint32)
        for start, stop in self.blocks.ranges:
            block: Any = self.blocks.read(start, stop)
            part = slice(self.pointers[start], self.pointers[stop])
            weights[part], ends[part] = block.data, block.indices
        return weights, ends, self.pointers.view(np.uint64)


def links_of(matrix: sparse.csr_matrix, dtype: type[np.floating[Any]]) -> tuple[Array, Array, Array]:
    """Return weights, uint32 ends and uint64 pointers of the rows; single precision and int32 are not copied."""
    indices = matrix.indices
    indices = indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)
    return matrix.data.astype(dtype, copy=False), indices, matrix.indptr.astype(np.uint64)


def checked_strengths(links: tuple[Array, Array, Array]) -> Array:
    """Sum the weights of each vertex, n float64, after checking that they are finite, at least 0 and symmetric."""
    out_of, into = np.zeros((2, len(links[2]) - 1))
    check(strengths(*links, out_of, into) < 0, WRONG_WEIGHTS)
    _check_symmetric(out_of, into)
    return out_of


def _check_symmetric(out_of: Array, into: Array) -> None:
    """Compare sums, which tell a directed graph from a symmetric one without a transposed copy."""
    check(np.allclose(out_of, into, rtol=1e-4, atol=1e-6), "graph must be symmetric, so that i-j weighs what j-i does")
