"""Components of a table with far more columns than rows: from the Gram matrix of the rows, some columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Block
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.products import multiply, orthonormalize
from kithkin.models.pca.eigen import array_eigenpairs
from kithkin.models.table.normalize import Normalized, Part, Stored

AT_A_TIME = 2**22  # values of some columns that are held dense, at most
SHARE = 8  # one part in so many of the budget may hold values of the table, and of its Gram matrix


@dataclass(frozen=True)
class RowGram:
    """Centred and weighted rows z of a table, as their Gram matrix z z' and the table itself, in memory.

    sums, variance: of each column before it is weighted, p. weights: 1, or 1 over the standard deviation.
    gram: z z', n x n. at_a_time: values of some columns that are held dense.
    """

    table: Array | sparse.csc_matrix
    sums: Array
    variance: Array
    weights: Array
    gram: Array
    at_a_time: int

    @staticmethod
    def fits(source: Normalized, memory: int) -> bool:
        """Tell whether rows are few enough for this to be the shorter way, and for the budget if they are dense.

        Of a sparse table it is not known yet how many values are stored: `of` counts them.
        """
        n, p = source.shape
        held = 16 * n * n if source.is_sparse else 8 * n * p
        return 2 * n <= p and held <= memory // SHARE

    @classmethod
    def of(cls, source: Normalized, execution: Execution, memory: int, *, scale: bool) -> RowGram | None:
        """Read the table and multiply its rows; None where its values take more than a part of `memory`."""
        n, p = source.shape
        parts: list[Part] = []
        held = 0
        for found in map_blocks(partial(block_parts, source), source.blocks, execution, "rows"):
            parts += found
            held += sum(8 * (part.values.size if isinstance(part, Stored) else part.size) for part in found)
            if held > memory // SHARE:
                return None
        if all(isinstance(part, Stored) for part in parts):
            stored = [sparse.csr_matrix((part.values, part.places, part.starts), shape=(len(part.starts) - 1, p))
                      for part in parts if isinstance(part, Stored)]  # fmt: skip
            table: Array | sparse.csc_matrix = sparse.csc_matrix(sparse.vstack(stored, "csc"))
        else:
            table = np.concatenate([part.to_dense() if isinstance(part, Stored) else part for part in parts])
        sums, variance, weights, gram = np.zeros(p), np.zeros(p), np.ones(p), np.zeros((n, n))
        at_a_time = min(AT_A_TIME, execution.memory // (8 * SHARE))
        for columns, values in dense_columns(table, at_a_time):
            sums[columns] = values.sum(axis=0)
            mean = sums[columns] / n
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused by who asked
                centred = values - mean
                variance[columns] = np.einsum("ij,ij->j", centred, centred) / (n - 1)
                if scale:
                    varies = variance[columns] > 1e-14 * np.maximum(mean**2, 1e-300)
                    weights[columns] = np.divide(1.0, np.sqrt(variance[columns]), out=np.zeros(len(mean)), where=varies)
                    centred *= weights[columns]
                multiply(centred, np.ascontiguousarray(centred.T), gram)
        return cls(table, sums, variance, weights, gram, at_a_time)

    def leading(self, k: int) -> tuple[Array, Array]:
        """Find the k largest eigenvalues of z' z, and their orthonormal eigenvectors, k x p.

        There are at most n - 1 that are not zero; vectors of others are any that are orthogonal to all.
        """
        n, p = len(self.gram), len(self.sums)
        values, left = array_eigenpairs(self.gram, k)
        values = np.maximum(values, 0.0)
        components = np.zeros((k, p))
        for columns, table in dense_columns(self.table, self.at_a_time):
            part = np.zeros((k, table.shape[1]))
            multiply(left, np.ascontiguousarray((table - self.sums[columns] / n) * self.weights[columns]), part)
            components[:, columns] = part
        nothing = values <= 1e-13 * max(float(values[0]), 1e-300)
        values[nothing] = 0.0
        if nothing.any():
            components[nothing] = np.random.default_rng(0).random((int(nothing.sum()), p)) - 0.5
        # of small values vectors are orthogonal to about half of the digits only
        orthonormalize(components, np.zeros((k, k)))
        return values, components


def block_parts(source: Normalized, block: Block, start: int) -> list[Part]:
    """List the normalised parts of a block."""
    return [part for _, part in source.parts(block, start)]


def dense_columns(table: Array | sparse.csc_matrix, at_a_time: int) -> Iterator[tuple[slice, Array]]:
    """Yield some columns at a time as a new dense array in float64."""
    n, p = table.shape
    step = max(1, at_a_time // n)
    for first in range(0, p, step):
        columns = slice(first, min(first + step, p))
        part = table[:, columns]
        yield columns, np.array(part, np.float64) if isinstance(part, np.ndarray) else part.toarray()
