"""Quality of cells and genes: counts, genes, percentages of gene sets, cells and mean; in the reader's own pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Block, as_blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.counts import quality_sums
from kithkin.models.estimator import Estimator
from kithkin.models.table.normalize import sparse_pieces

MAD_OF_NORMAL = 1.4826  # standard deviation of normal values in their median absolute deviations


class Quality(Estimator):
    """Counts per cell, genes per cell, percentages of gene sets, and cells and mean per gene.

    Blocks are added one by one with `update`, in the order of the rows, while something else reads them; `fit`
    does the same for a whole table. Sums are float64 whatever the storage type, so integer counts are exact
    up to 2^53.

    Parameters
    ----------
    sets
        Named gene sets: a boolean mask over the genes each, at most 63, such as {"mito": mask}.

    Attributes
    ----------
    n_counts_
        Sum of each cell, n, float64.
    n_genes_
        Genes with a value other than zero in each cell, n, int64.
    percent_
        Percentage of each set in each cell (0 to 100; 0 for an empty cell), n, float64.
    n_cells_
        Cells with a value other than zero of each gene, p, int64.
    mean_counts_
        Mean of each gene over all cells, p, float64.
    n_rows_
        Cells seen so far.

    Raises
    ------
    ParameterError
        If a mask does not have one boolean for each gene, or blocks come out of order.

    Examples
    --------
    >>> X = np.array([[1, 3, 0], [0, 0, 0]], np.uint8)
    >>> quality = Quality({"mito": np.array([True, False, False])}).fit(X)
    >>> quality.n_counts_.tolist(), quality.n_genes_.tolist(), quality.percent_["mito"].tolist()
    ([4.0, 0.0], [2, 0], [25.0, 0.0])
    >>> quality.n_cells_.tolist(), quality.mean_counts_.tolist()
    ([1, 1, 0], [0.5, 1.5, 0.0])
    """

    def __init__(self, sets: Mapping[str, Array] | None = None) -> None:
        self.sets = sets
        self._clear()

    def _clear(self) -> None:
        self._code: Array | None = None
        self._cells: list[tuple[Array, Array, Array]] = []
        self.n_rows_ = 0

    def update(self, block: Block, start: int) -> None:
        """Add the next block, rows x genes, whose first row is `start`.

        Raises
        ------
        ParameterError
            If `start` is not the number of rows seen so far, or the number of genes changed.
        """
        self._add(self.measuring(block.shape[1])(block, start), start)

    def fit(self, X: Any, execution: Execution | None = None) -> Self:
        """Measure a table of cells x genes (array, SciPy sparse matrix or row blocks) in one pass."""
        blocks = as_blocks(X)
        self._clear()
        for sums in map_blocks(self.measuring(blocks.shape[1]), blocks, execution, "quality"):
            self.add(sums)
        return self

    def measuring(self, n_genes: int) -> Callable[[Block, int], tuple[Array, ...]]:
        """Return the function of a block and its first row that measures what `add` takes, in any process."""
        return partial(block_sums, self._code_for(n_genes), len(self.sets or {}))

    def add(self, sums: tuple[Array, ...]) -> None:
        """Add the next block by its sums, as `measuring` gives them.

        Examples
        --------
        >>> quality = Quality()
        >>> quality.add(quality.measuring(3)(np.array([[1, 3, 0]]), 0))
        >>> quality.n_counts_.tolist()
        [4.0]
        """
        self._add(sums, self.n_rows_)

    def _code_for(self, n_genes: int) -> Array:
        if self._code is None:
            sets = self.sets or {}
            check(len(sets) <= 63, f"sets must be at most 63, got {len(sets)}")
            self._code = np.zeros(n_genes, np.int64)
            for bit, (name, given) in enumerate(sets.items()):
                mask = np.asarray(given)
                right = mask.shape == (n_genes,) and mask.dtype == np.bool_
                check(right, f"sets[{name!r}] must be {n_genes} booleans, got {mask.dtype} of shape {mask.shape}")
                self._code[mask] |= np.int64(1) << bit
            self._gene_sums, self.n_cells_ = np.zeros(n_genes), np.zeros(n_genes, np.int64)
        check(
            len(self._code) == n_genes, f"a block must have {len(self._code)} genes as those before it, got {n_genes}"
        )
        return self._code

    def _add(self, sums: tuple[Array, ...], start: int) -> None:
        check(start == self.n_rows_, f"the next block must start at row {self.n_rows_}, got {start}")
        counts, genes, in_sets, gene_sums, gene_cells = sums
        check(bool(np.isfinite(counts).all()), "X must be finite, but it holds NaN or infinity")
        self._cells.append((counts, genes, in_sets))
        self._gene_sums += gene_sums
        self.n_cells_ += gene_cells
        self.n_rows_ += len(counts)

    @property
    def n_counts_(self) -> Array:
        """Sum of each cell."""
        return np.concatenate([np.zeros(0), *(part[0] for part in self._cells)])

    @property
    def n_genes_(self) -> Array:
        """Genes of each cell."""
        return np.concatenate([np.zeros(0, np.int64), *(part[1] for part in self._cells)])

    @property
    def percent_(self) -> dict[str, Array]:
        """Percentage of each set in each cell."""
        totals = self.n_counts_
        sums = np.concatenate([np.zeros((0, len(self.sets or {}))), *(part[2] for part in self._cells)])
        shares = [np.divide(100.0 * part, totals, out=np.zeros_like(totals), where=totals > 0) for part in sums.T]
        return dict(zip(self.sets or {}, shares, strict=True))

    @property
    def mean_counts_(self) -> Array:
        """Mean of each gene."""
        return self._gene_sums / max(1, self.n_rows_)


def outliers(
    values: Array, groups: Array | None = None, n_mads: float = 5.0, *, low: bool = True, log: bool = False
) -> Array:
    """Find values further from the median of their group than some median absolute deviations.

    The deviation is scaled by 1.4826, so that it is the standard deviation of normal values. A group whose deviation
    is 0 has no outliers.

    Parameters
    ----------
    values
        n numbers; a missing one is no outlier.
    groups
        Group of each; all are one group by default.
    n_mads
        Deviations up to which a value is no outlier.
    low
        Count low values as well as high ones.
    log
        Compare log(1 + value).

    Returns
    -------
    n booleans.

    References
    ----------
    Leys et al., Detecting outliers (2013), doi:10.1016/j.jesp.2013.03.013.

    Examples
    --------
    >>> values = np.array([10.0, 11, 12, 13, 99, 1, 2, 3])
    >>> outliers(values).tolist().count(True), outliers(values, np.repeat(["a", "b"], [5, 3])).nonzero()[0].tolist()
    (1, [4])
    """
    values = np.log1p(np.asarray(values, np.float64)) if log else np.asarray(values, np.float64)
    codes = np.zeros(len(values), np.int64) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    found = np.zeros(len(values), bool)
    for group in range(int(codes.max(initial=-1)) + 1):
        rows = np.flatnonzero(codes == group)
        away = values[rows] - np.nanmedian(values[rows])
        deviation = MAD_OF_NORMAL * np.nanmedian(np.abs(away))
        if deviation > 0:
            found[rows] = (away > n_mads * deviation) | (low & (away < -n_mads * deviation))
    return found


def block_sums(code: Array, n_sets: int, block: Block, _start: int) -> tuple[Array, ...]:
    """Count and sum the values of a block by cell and by gene."""
    n_rows, n_genes = block.shape
    counts, genes, in_sets = np.zeros(n_rows), np.zeros(n_rows, np.int64), np.zeros((n_rows, n_sets))
    gene_sums, gene_cells = np.zeros(n_genes), np.zeros(n_genes, np.int64)
    for offset, piece in sparse_pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        sums = counts[rows], genes[rows], in_sets[rows], gene_sums, gene_cells
        quality_sums(piece.data, piece.indices, piece.indptr, code, *sums)
    return counts, genes, in_sets, gene_sums, gene_cells
