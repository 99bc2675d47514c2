"""Principal components of a table read in blocks: exact covariance, or truncated without centring for wide tables."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.pca.eigen import array_eigenpairs, fixed_signs, leading_eigenpairs
from kithkin.models.pca.gram import GramSums
from kithkin.models.pca.row_gram import RowGram
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.columns import add_transposed_times, choose, column_counts, column_squares, column_sums, times
from kithkin.models.table.normalize import Normalized, distance_target_sum, known_totals
from kithkin.models.table.sums import BlockRun, BlockRuns, reduce_blocks, within_memory

ENOUGH = 200 * 10**6  # bytes of a budget with which a table of few rows goes the way of its rows


class PCA(Estimator):
    r"""Principal components: the directions in which the rows vary most, and the rows in their coordinates.

    With values :math:`x_{ij}`, weights :math:`w_j` and what is subtracted :math:`\mu_j`, the components are the
    leading eigenvectors of :math:`\sum_i z_i z_i'`, where :math:`z_{ij} = w_j (x_{ij} - \mu_j)`.

    Parameters
    ----------
    n_components
        Number of directions.
    scale
        Divide each column by its standard deviation (`covariance` only); constant columns stay 0.
    normalize
        "log1p": x = log1p(count * target_sum / total of the cell). "unit": rows divided by their Euclidean length over
        all columns, for images, whose brightness is to make no difference. None: values as they are.
    method
        "covariance": centred, and the same bits on every processor and for every cut into blocks: values are rounded
        to about 1e-7 of the length of their column, and all sums of the p x p covariance are exact. It must fit the
        memory budget, or, where columns are more than twice the rows, the stored values of the rows an eighth of it.
        "truncated": without centring, for tables with very many columns, by block Lanczos in some ten passes. "lsi":
        the same on log(1 + n / n_j) * log1p(count * target_sum / total), where n_j rows have column j (peaks of
        ATAC-seq); its first component follows the depth of a cell more than anything else, and is kept.
    target_sum
        Counts of every cell after normalisation; by default the median of the totals in `fit`, and at least 1,000.
    seed
        Seed of the first vectors of `truncated` and `lsi`; `covariance` does not depend on it.

    Attributes
    ----------
    components_
        Orthonormal directions, k x p (p chosen columns), float64. The largest loading of each is positive.
    explained_variance_
        Variance of each score, k (divided by n - 1).
    explained_variance_ratio_
        Fraction of the variance of all chosen columns, k.
    singular_values_
        Singular values of the table of z, k.
    mean_, weights_
        :math:`\mu` (zeros without centring) and w (1 unless scaled or `lsi`), p.
    columns_
        Positions of the chosen columns, ascending: the columns of components_.
    target_sum_
        Counts of every cell after normalisation, for "log1p" only.

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
        target_sum: float | None = None,
        seed: int = 0,
    ) -> None:
        self.n_components, self.scale, self.normalize = n_components, scale, normalize
        self.method, self.target_sum, self.seed = method, target_sum, seed

    def fit(
        self, X: Any, columns: Array | None = None, totals: Array | None = None, execution: Execution | None = None
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
        self._fit(as_blocks(X), columns, totals, execution)
        return self

    def transform(self, X: Any, totals: Array | None = None, execution: Execution | None = None) -> Array:
        """Return the scores of rows with the same columns as in fit: n x k, float32."""
        blocks, width = as_blocks(X), self._n_columns
        check(blocks.shape[1] == width, f"X must have {width} columns as in fit, got {blocks.shape[1]}")
        return self._project(self._source(blocks, totals, execution), execution)

    def fit_transform(
        self, X: Any, columns: Array | None = None, totals: Array | None = None, execution: Execution | None = None
    ) -> Array:
        """Find the components and return the scores of the same rows: n x k, float32."""
        return self._project(self._fit(as_blocks(X), columns, totals, execution), execution)

    def _fit(
        self, blocks: Blocks, columns: Array | None, totals: Array | None, execution: Execution | None
    ) -> Normalized:
        n, self._n_columns = blocks.shape
        self.columns_ = choose(columns, self._n_columns)
        check_choice("method", self.method, ("covariance", "truncated", "lsi"))
        check_choice("normalize", self.normalize, ("log1p", "unit", None))
        check(not self.scale or self.method == "covariance", f"scale needs method='covariance', got {self.method!r}")
        needs = f"method='lsi' needs normalize='log1p', got {self.normalize!r}"
        check(self.normalize == "log1p" or self.method != "lsi", needs)
        given = self.target_sum
        check(given is None or 0 < given < np.inf, f"target_sum must be above 0 and finite, got {given!r}")
        check(n >= 2, f"X must have at least 2 rows, got {n}")
        check_range("n_components", self.n_components, 1, min(n, len(self.columns_)))
        if self.normalize == "log1p":
            totals = known_totals(blocks, totals, execution)
            self.target_sum_ = distance_target_sum(totals) if given is None else float(given)
        source = self._source(blocks, totals, execution)
        execution = Execution() if execution is None else execution
        with single_threaded():
            if self.method == "covariance":
                self._fit_covariance(source, execution)
            else:
                self._fit_truncated(source, execution)
        return source

    def _source(self, blocks: Blocks, totals: Array | None, execution: Execution | None) -> Normalized:
        if self.normalize != "log1p":
            return Normalized(blocks, self.normalize, columns=self.columns_)
        known = known_totals(blocks, totals, execution)
        return Normalized(blocks, "log1p", totals=known, target_sum=self.target_sum_, columns=self.columns_)

    def _project(self, source: Normalized, execution: Execution | None) -> Array:
        vectors = np.ascontiguousarray((self.components_ * self.weights_).T)
        out = np.empty((source.shape[0], len(self.components_)), np.float32)
        start = 0
        projection = source, vectors, times(self.mean_[None], vectors)[0]
        with single_threaded():
            if execution is None or execution.executor is None:
                parts = map_blocks(partial(block_scores, *projection), source.blocks, execution, "scores")
            else:
                # the scale of all rows travels with every task of another process: so few tasks
                runs = BlockRuns(source.blocks)
                parts = map_blocks(partial(run_scores, *projection), runs, execution, "scores")
            for scores in parts:
                out[start : start + len(scores)] = scores
                start += len(scores)
        return out

    def _fit_covariance(self, source: Normalized, execution: Execution) -> None:
        n, p = source.shape
        fits = 2 * 8 * p * p <= execution.memory
        # where both ways are possible no budget decides between them, as their last bits differ
        memory = min(execution.memory, ENOUGH) if fits else execution.memory
        few = RowGram.fits(source, memory)
        rows = RowGram.of(source, execution, memory, scale=self.scale) if few else None
        if rows is not None:
            _check_finite(rows.gram)
            self.mean_, self.weights_ = rows.sums / n, rows.weights
            values, vectors = rows.leading(self.n_components)
            self.components_ = fixed_signs(vectors)
            self._explain(values / (n - 1), float((rows.variance * rows.weights**2).sum()), values)
            return
        check(
            fits, f"the covariance of {p} columns needs {16 * p * p / 1e6:.0f} MB: choose fewer, or method='truncated'"
        )
        squares = None
        if self.normalize is None:  # of any scale: a sample tells little of the columns that it finds empty
            _, squares, _ = reduce_blocks(partial(run_column_sums, source), source.blocks, execution, "columns")
        layout = GramSums.of(source, squares)
        limited = within_memory(execution, layout.zeros().nbytes)
        while True:
            added, sums = reduce_blocks(partial(run_gram_sums, source, layout), source.blocks, limited, "covariance")
            squares = layout.squares(added)
            if layout.is_exact(squares) or not np.all(np.isfinite(squares)):
                break
            layout = GramSums.of(source, squares)  # the sample was of other rows than most
        _check_finite(sums)
        gram = layout.matrix(added)
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
        values, vectors = array_eigenpairs(gram, self.n_components)
        values = np.maximum(values, 0.0)
        self.components_ = fixed_signs(vectors)
        self._explain(values, float(variance.sum()), values * (n - 1))

    def _fit_truncated(self, source: Normalized, execution: Execution) -> None:
        n, p = source.shape
        sums, squares, rows = reduce_blocks(partial(run_column_sums, source), source.blocks, execution, "columns")
        _check_finite(sums)
        self.mean_, self.weights_ = np.zeros(p), np.ones(p)
        if self.method == "lsi":
            self.weights_ = np.log1p(np.divide(n, rows, out=np.zeros(p), where=rows > 0))
        limited = within_memory(execution, 8 * p * (self.n_components + 10))

        def multiply(vectors: Array) -> Array:
            weighted = np.ascontiguousarray(vectors * self.weights_[:, None])
            (out,) = reduce_blocks(partial(run_normal_product, source, weighted), source.blocks, limited, "truncated")
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


def run_gram_sums(source: Normalized, layout: GramSums, run: BlockRun, _start: int) -> tuple[Array, Array]:
    """Gram matrix, in the layout, and column sums over a run of blocks."""
    added, sums = layout.zeros(), np.zeros(source.shape[1])
    with single_threaded():
        for first, block in run:
            for _, part in source.parts(block, first):
                rounded = layout.rounded(part)
                sums += column_sums(rounded)
                layout.add(rounded, added)
    return added, sums


def run_column_sums(source: Normalized, run: BlockRun, _start: int) -> tuple[Array, Array, Array]:
    """Sum of each column, of its squares, and its number of values over a run of blocks."""
    sums, squares, rows = np.zeros((3, source.shape[1]))
    for first, block in run:
        for _, part in source.parts(block, first):
            sums += column_sums(part)
            squares += column_squares(part)
            rows += column_counts(part)
    return sums, squares, rows


def run_normal_product(source: Normalized, vectors: Array, run: BlockRun, _start: int) -> tuple[Array]:
    """X'X times vectors over a run of blocks."""
    out = np.zeros_like(vectors)
    with single_threaded():
        for first, block in run:
            for _, part in source.parts(block, first):
                add_transposed_times(part, times(part, vectors), out)
    return (out,)


def block_scores(source: Normalized, vectors: Array, offset: Array, block: Block, start: int) -> Array:
    """Project the rows of a block on the components."""
    out = np.empty((block.shape[0], vectors.shape[1]), np.float32)
    with single_threaded():
        for first, part in source.parts(block, start):
            scores = times(part, vectors) - offset
            out[first - start : first - start + len(scores)] = scores
    return out


def run_scores(source: Normalized, vectors: Array, offset: Array, run: BlockRun, _start: int) -> Array:
    """Project the rows of a run of blocks on the components."""
    return np.concatenate([block_scores(source, vectors, offset, block, first) for first, block in run])
