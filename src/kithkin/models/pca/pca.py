"""Principal components of a table read in blocks: exact covariance, or truncated without centring for wide tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.pca.eigen import array_eigenpairs, fixed_signs, leading_eigenpairs
from kithkin.models.pca.gram import Products
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.columns import (
    Columns,
    Stored,
    add_transposed_times,
    choose,
    column_squares,
    column_sums,
    times,
)
from kithkin.models.table.normalize import known_totals, row_scale, unit_rows
from kithkin.models.table.sums import Share, Shares, sum_shares, within_memory


class PCA(Estimator):
    r"""The directions in which the rows vary most, and the rows in their coordinates.

    With values :math:`x_{ij}`, weights :math:`w_j` and what is subtracted :math:`\mu_j`, the components are the
    leading eigenvectors of :math:`\sum_i z_i z_i'`, where :math:`z_{ij} = w_j (x_{ij} - \mu_j)`.

    Parameters
    ----------
    n_components
        How many directions.
    scale
        Whether each column is divided by its standard deviation (`covariance` only); constant columns stay 0.
    normalize
        "log1p": x = log1p(count * target_sum / total of the cell). "unit": rows divided by their Euclidean length over
        all columns, for images, whose brightness is to make no difference. None: values as they are.
    method
        "covariance": centred and exact; the p x p covariance must fit the memory budget. "truncated": without
        centring, for tables with very many columns, by block Lanczos in some ten passes. "lsi": the same on
        log(1 + n / n_j) * log1p(count * target_sum / total), where n_j rows have column j (peaks of ATAC-seq); its
        first component follows the depth of a cell more than anything else, and is kept.
    target_sum
        Counts of every cell after normalisation.
    seed
        Of the first vectors of `truncated` and `lsi`; `covariance` does not depend on it.

    Attributes
    ----------
    components_
        Orthonormal directions, k x p (p chosen columns), float64. The largest loading of each is positive.
    explained_variance_
        Variance of each score, k (divided by n - 1).
    explained_variance_ratio_
        Its share of the variance of all chosen columns, k.
    singular_values_
        Of the table of z, k.
    mean_, weights_
        :math:`\mu` (zeros without centring) and w (1 unless scaled or `lsi`), p.
    columns_
        Positions of the chosen columns, ascending: the columns of components_.

    Raises
    ------
    ParameterError
        If n_components is more than min(n, p), parameters contradict each other, the covariance does not fit the
        budget, or X holds NaN or infinite values.

    Notes
    -----
    Pearson 1901, doi:10.1080/14786440109462720; `lsi`: Cusanovich et al. 2018, doi:10.1016/j.cell.2018.06.052,
    with the logarithms of Bredikhin et al. 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]])
    >>> model = PCA(n_components=1, normalize=None).fit(X)
    >>> model.components_.round(4).tolist(), model.explained_variance_.round(4).tolist()
    ([[0.7071, 0.7071]], [8.0])
    >>> model.transform(X).round(3).ravel().tolist()
    [-2.828000068664551, 0.0, 2.828000068664551]
    """

    def __init__(
        self,
        n_components: int = 50,
        *,
        scale: bool = False,
        normalize: str | None = "log1p",
        method: str = "covariance",
        target_sum: float = 1000.0,
        seed: int = 0,
    ) -> None:
        self.n_components, self.scale, self.normalize = n_components, scale, normalize
        self.method, self.target_sum, self.seed = method, target_sum, seed

    def fit(
        self,
        X: Any,
        columns: Array | None = None,
        totals: Array | None = None,
        execution: Execution | None = None,
    ) -> Self:
        """Find the components.

        Parameters
        ----------
        X
            Array, SciPy sparse matrix or row blocks, n x number of columns.
        columns
            Mask or positions of the columns to use; all when None.
        totals
            Counts of each row over all columns, n; one more pass takes them when None and they are needed.
        execution
            Threads, budget and executor.
        """
        blocks = self._rows(X)
        self.columns_ = choose(columns, blocks.shape[1])
        self._check(blocks)
        self._n_columns = blocks.shape[1]
        source = self._source(blocks, totals, execution)
        with single_threaded():
            if self.method == "covariance":
                self._fit_covariance(blocks, source, execution)
            else:
                self._fit_truncated(blocks, source, execution)
        return self

    def transform(self, X: Any, totals: Array | None = None, execution: Execution | None = None) -> Array:
        """Scores of rows with the same columns as in fit: n x k, float32."""
        blocks = self._rows(X)
        check(
            blocks.shape[1] == self._n_columns,
            f"X must have {self._n_columns} columns as in fit, got {blocks.shape[1]}",
        )
        return self._project(blocks, self._source(blocks, totals, execution), execution)

    def fit_transform(
        self,
        X: Any,
        columns: Array | None = None,
        totals: Array | None = None,
        execution: Execution | None = None,
    ) -> Array:
        """Find the components and return the scores of the same rows: n x k, float32."""
        blocks = as_blocks(X)
        if self.normalize == "log1p":
            totals = known_totals(blocks, totals, execution)
        return self.fit(blocks, columns, totals, execution).transform(blocks, totals, execution)

    def _rows(self, X: Any) -> Blocks:
        blocks = as_blocks(X)
        return unit_rows(blocks) if self.normalize == "unit" else blocks

    def _check(self, blocks: Blocks) -> None:
        check_choice("method", self.method, ("covariance", "truncated", "lsi"))
        check_choice("normalize", self.normalize, ("log1p", "unit", None))
        check(not self.scale or self.method == "covariance", f"scale needs method='covariance', got {self.method!r}")
        needs = f"method='lsi' needs normalize='log1p', got {self.normalize!r}"
        check(self.normalize == "log1p" or self.method != "lsi", needs)
        check(self.target_sum > 0, f"target_sum must be above 0, got {self.target_sum!r}")
        check(blocks.shape[0] >= 2, f"X must have at least 2 rows, got {blocks.shape[0]}")
        check_range("n_components", self.n_components, 1, min(blocks.shape[0], len(self.columns_)))

    def _source(self, blocks: Blocks, totals: Array | None, execution: Execution | None) -> Columns:
        factor = None
        if self.normalize == "log1p":
            factor = row_scale(known_totals(blocks, totals, execution), self.target_sum)
        return Columns(self.columns_, blocks.shape[1], factor)

    def _project(self, blocks: Blocks, source: Columns, execution: Execution | None) -> Array:
        vectors = np.ascontiguousarray((self.components_ * self.weights_).T)
        out = np.empty((blocks.shape[0], len(self.components_)), np.float32)
        start = 0
        with single_threaded():
            block_scores = partial(_block_scores, source, vectors, self.mean_ @ vectors)
            if execution is None or execution.executor is None:
                parts = map_blocks(block_scores, blocks, execution, "scores")
            else:
                # the scale of all rows travels with every task of another process: so few tasks
                parts = map_blocks(partial(_share_scores, block_scores), Shares(blocks), execution, "scores")
            for scores in parts:
                out[start : start + len(scores)] = scores
                start += len(scores)
        return out

    def _fit_covariance(self, blocks: Blocks, source: Columns, execution: Execution | None) -> None:
        n, p = blocks.shape[0], len(self.columns_)
        execution = Execution() if execution is None else execution
        fits = 2 * 8 * p * p <= execution.memory
        check(
            fits, f"the covariance of {p} columns needs {16 * p * p / 1e6:.0f} MB: choose fewer, or method='truncated'"
        )
        products = Products.of(source, blocks)
        function = partial(_share_products, source, products)
        limited = within_memory(execution, products.zeros().nbytes)
        added, sums = sum_shares(function, blocks, limited, "covariance")
        _check_finite(sums)
        gram = products.matrix(added)
        del added
        self.mean_ = sums / n
        for row in range(p):  # row by row: the outer product of the means would be one more p x p array
            gram[row, row:] -= sums[row] * self.mean_[row:]
        gram /= n - 1
        variance = np.maximum(np.diag(gram), 0.0)
        _check_finite(variance)
        self.weights_ = np.ones(p)
        if self.scale:
            varies = variance > 1e-14 * np.maximum(self.mean_**2, 1e-300)
            self.weights_ = np.divide(1.0, np.sqrt(variance), out=np.zeros(p), where=varies)
            gram *= self.weights_
            gram *= self.weights_[:, None]
            variance = variance * self.weights_**2
        # gram.T in Fortran order is the same memory: its lower triangle is the upper one of gram, and no copy is made
        values, vectors = array_eigenpairs(gram.T, self.n_components)
        values = np.maximum(values, 0.0)
        self.components_ = fixed_signs(vectors.T)
        self._explain(values, float(variance.sum()), values * (n - 1))

    def _fit_truncated(self, blocks: Blocks, source: Columns, execution: Execution | None) -> None:
        n, p = blocks.shape[0], len(self.columns_)
        execution = Execution() if execution is None else execution
        sums, squares, rows = sum_shares(partial(_share_sums, source), blocks, execution, "columns")
        _check_finite(sums)
        self.mean_, self.weights_ = np.zeros(p), np.ones(p)
        if self.method == "lsi":
            self.weights_ = np.log1p(np.divide(n, rows, out=np.zeros(p), where=rows > 0))
        limited = within_memory(execution, 8 * p * (self.n_components + 10))

        def multiply(vectors: Array) -> Array:
            weighted = np.ascontiguousarray(vectors * self.weights_[:, None])
            (out,) = sum_shares(partial(_share_normal, source, weighted), blocks, limited, "truncated")
            return out * self.weights_[:, None]

        values, vectors, self.n_passes_ = leading_eigenpairs(
            multiply, p, self.n_components, seed=self.seed, max_basis=execution.memory // (16 * p)
        )
        self.components_ = fixed_signs(vectors.T)
        values = np.maximum(values, 0.0)
        score_means = self.components_ @ (self.weights_ * sums) / n
        total = float((self.weights_**2 * (squares - sums**2 / n)).sum()) / (n - 1)
        self._explain(np.maximum(values - n * score_means**2, 0.0) / (n - 1), total, values)

    def _explain(self, variance: Array, total: float, squares: Array) -> None:
        self.explained_variance_ = variance
        self.explained_variance_ratio_ = variance / total if total > 0 else np.zeros(len(variance))
        self.singular_values_ = np.sqrt(squares)


def _check_finite(sums: Array) -> None:
    check(bool(np.all(np.isfinite(sums))), "X must hold finite numbers, but some are NaN or infinite")


def _share_products(source: Columns, products: Products, share: Share, _start: int) -> tuple[Array, Array]:
    added, sums = products.zeros(), np.zeros(len(source.chosen))
    with single_threaded():
        for first, block in share:
            for _, part in source.parts(block, first):
                sums += column_sums(part)
                products.add(part, added)
    return added, sums


def _share_sums(source: Columns, share: Share, _start: int) -> tuple[Array, Array, Array]:
    sums, squares, rows = np.zeros((3, len(source.chosen)))
    for first, block in share:
        for _, part in source.parts(block, first):
            sums += column_sums(part)
            squares += column_squares(part)
            rows += (
                np.bincount(part.places, minlength=len(rows)) if isinstance(part, Stored) else (part != 0).sum(axis=0)
            )
    return sums, squares, rows


def _share_normal(source: Columns, vectors: Array, share: Share, _start: int) -> tuple[Array]:
    out = np.zeros_like(vectors)
    with single_threaded():
        for first, block in share:
            for _, part in source.parts(block, first):
                add_transposed_times(part, times(part, vectors), out)
    return (out,)


def _share_scores(block_scores: Callable[[Block, int], Array], share: Share, _start: int) -> Array:
    return np.concatenate([block_scores(block, first) for first, block in share])


def _block_scores(source: Columns, vectors: Array, offset: Array, block: Block, start: int) -> Array:
    out = np.empty((block.shape[0], vectors.shape[1]), np.float32)
    with single_threaded():
        for first, part in source.parts(block, start):
            scores = times(part, vectors) - offset
            out[first - start : first - start + len(scores)] = scores
    return out
