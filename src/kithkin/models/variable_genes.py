"""Highly variable genes, by normalised dispersion or by the variance-stabilising transform of counts."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from skmisc.loess import loess

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import ParameterError, check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.core.own_rows import PerRow, RowValues
from kithkin.kernels.counts import column_moments
from kithkin.models.estimator import Estimator
from kithkin.models.table.normalize import TARGET_SUM, check_counts, known_totals, row_scale, sparse_pieces
from kithkin.models.table.significant import significant
from kithkin.models.table.sums import BlockRun, reduce_blocks

FEWEST = 10  # points of a local regression
BITS = 30  # of logarithms, and of what the regression finds


class VariableGenes(Estimator):
    r"""Highly variable genes: those whose variance is large for their mean.

    `dispersion` (Seurat's first method): with x = count * target_sum / total, the dispersion log(var x / mean x)
    of each gene is standardised among the genes of similar log1p(mean x), in `n_bins` bins of equal width.

    `vst` (Seurat 3): a local quadratic regression of log10 variance on log10 mean of the counts gives the expected
    standard deviation :math:`\sigma_g`; genes are ranked by the variance of
    :math:`\min((x_{ig} - \mu_g) / \sigma_g, \sqrt{n})`.

    With a batch each is computed within every batch. `vst` then takes the genes with the lowest median of the ranks
    that are below `n_genes`; `dispersion` those selected in most batches, and among them the largest mean.

    Parameters
    ----------
    n_genes
        Number of genes to select. Genes that tie with the last one are selected too (`dispersion` without batch).
    flavor
        "dispersion", or "vst", which needs integer counts.
    batch
        Label of the batch of each cell, n; one batch by default.
    span
        Fraction of the genes in each local regression (`vst`).
    n_bins
        Number of bins of the mean (`dispersion`).
    target_sum
        Counts of every cell after normalisation (`dispersion`).

    Attributes
    ----------
    mask_
        Whether a gene is selected, p.
    means_
        `vst`: mean count. `dispersion`: log1p of the mean normalised count (the mean over batches).
    variances_, variances_norm_
        `vst`: variance of the counts, and of the standardised and clipped counts (mean over batches); else None.
    dispersions_, dispersions_norm_
        `dispersion`: log dispersion, and standardised within the bin (mean over batches); else None.
    rank_
        Rank among the selected genes from 0 (`vst` with a batch: the median of the ranks), NaN for the others, p.
    n_batches_
        Number of batches in which the gene is selected, p.

    Raises
    ------
    ParameterError
        If n_genes is more than there are genes; X holds negative values or, for `vst`, fractions, or nothing varies.

    Notes
    -----
    Satija et al. 2015, doi:10.1038/nbt.3192 (dispersion); Stuart et al. 2019, doi:10.1016/j.cell.2019.05.031 (vst).
    Selections equal those of `scanpy.pp.highly_variable_genes` with flavors "seurat" and "seurat_v3".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(2.0, size=(200, 50))
    >>> X[:100, 7] += 20
    >>> model = VariableGenes(1, "dispersion", n_bins=1).fit(X)
    >>> np.flatnonzero(model.mask_).tolist()
    [7]
    """

    variances_: Array | None
    variances_norm_: Array | None
    dispersions_: Array | None
    dispersions_norm_: Array | None

    def __init__(
        self,
        n_genes: int = 3000,
        flavor: str = "vst",
        *,
        batch: Any = None,
        span: float = 0.3,
        n_bins: int = 20,
        target_sum: float = TARGET_SUM,
    ) -> None:
        self.n_genes, self.flavor, self.batch = n_genes, flavor, batch
        self.span, self.n_bins, self.target_sum = span, n_bins, target_sum

    def fit(self, X: Any, totals: Array | None = None, execution: Execution | None = None) -> Self:
        """Select genes from counts of cells x genes.

        Parameters
        ----------
        X
            Array, SciPy sparse matrix or row blocks, n x p.
        totals
            Counts of each cell over all genes, n; by default from one more pass. `vst` does not need them.
        execution
            Threads, budget and executor.
        """
        blocks = as_blocks(X)
        n_rows, n_columns = blocks.shape
        check(n_rows >= 2, f"X must have at least 2 rows, got {n_rows}")
        check_range("n_genes", self.n_genes, 1, n_columns)
        check_choice("flavor", self.flavor, ("dispersion", "vst"))
        check_range("span", self.span, 1e-3, 1.0)
        check_range("n_bins", self.n_bins, 1, 10_000)
        group = np.zeros(n_rows, np.int32)
        if self.batch is not None:
            labels = np.asarray(self.batch)
            right = f"batch must hold {n_rows} labels, one for each row, got shape {labels.shape}"
            check(labels.shape == (n_rows,), right)
            try:
                names, codes = np.unique(labels, return_inverse=True)
            except TypeError as error:
                raise ParameterError("batch must hold labels of one kind, none missing") from error
            missing = names.dtype.kind == "f" and bool(np.isnan(names).any())
            check(not missing, "batch must hold a label for every row, but some are missing")
            group = codes.astype(np.int32)
        if self.flavor == "vst":
            self._fit_vst(blocks, group, execution)
        else:
            check(self.target_sum > 0, f"target_sum must be above 0, got {self.target_sum!r}")
            scale = row_scale(known_totals(blocks, totals, execution), self.target_sum)
            self._fit_dispersion(blocks, group, scale, execution)
        return self

    def _fit_dispersion(self, blocks: Blocks, group: Array, scale: Array, execution: Execution | None) -> None:
        means, variances, _ = _moments(blocks, group, scale, "flavor='dispersion'", execution)
        levels, dispersions, standardised, selected = [], [], [], []
        for mean, variance in zip(means, variances, strict=True):
            # a gene that a batch lacks does not take part there and counts as zero in the means over batches
            present = (mean > 0) | (self.batch is None)
            level, dispersion, norm = np.zeros((3, len(mean)))
            level[present], dispersion[present], norm[present] = _dispersions(
                mean[present], variance[present], self.n_bins
            )
            known = np.sort(norm[present & ~np.isnan(norm)])
            last = known[-min(self.n_genes, len(known))] if len(known) else np.inf
            levels.append(level)
            dispersions.append(dispersion)
            standardised.append(norm)
            selected.append(present & (np.where(np.isnan(norm), -np.inf, norm) >= last))
        self.means_, self.dispersions_ = _mean_of_known(np.stack(levels)), _mean_of_known(np.stack(dispersions))
        self.dispersions_norm_ = norm = _mean_of_known(np.stack(standardised))
        self.n_batches_ = np.sum(selected, axis=0)
        self.variances_ = self.variances_norm_ = None
        height = np.where(np.isnan(norm), -np.inf, norm)
        order = np.lexsort((-height, -self.n_batches_))
        self.mask_ = selected[0] if self.batch is None else np.isin(np.arange(len(order)), order[: self.n_genes])
        self.rank_ = np.full(len(order), np.nan)
        self.rank_[order[self.mask_[order]]] = np.arange(self.mask_.sum())

    def _fit_vst(self, blocks: Blocks, group: Array, execution: Execution | None) -> None:
        ones = np.ones(blocks.shape[0])
        means, variances, sizes = _moments(blocks, group, ones, "flavor='vst'", execution)
        check(bool(np.all(sizes > 1)), "every batch must have at least 2 cells for flavor='vst'")
        check(bool(np.any(variances > 0)), "X must hold genes that vary, but none does")
        log_variances = np.zeros(means.shape)  # expected by the local regression
        for batch, (mean, variance) in enumerate(zip(means, variances, strict=True)):
            varies = variance > 0
            log_variances[batch, varies] = local_trend(np.log10(mean[varies]), np.log10(variance[varies]), self.span)
        deviations = significant(np.sqrt(10**log_variances), BITS)
        limit = deviations * np.sqrt(sizes)[:, None] + means
        sums, squares, above = _sums(blocks, group, ones, limit, "flavor='vst'", execution)
        sums, squares = sums + above * limit, squares + above * limit**2
        n = sizes[:, None]
        norm = (n * means**2 + squares - 2 * sums * means) / ((n - 1) * deviations**2)
        # genes with the same histogram of counts tie exactly: the first ones go before
        ranks = np.argsort(np.argsort(-norm, axis=1, kind="stable"), axis=1).astype(np.float64)
        self.n_batches_ = (ranks < self.n_genes).sum(axis=0)
        ranks[ranks >= self.n_genes] = np.nan
        self.rank_ = np.full(norm.shape[1], np.nan)
        chosen = self.n_batches_ > 0
        self.rank_[chosen] = np.nanmedian(ranks[:, chosen], axis=0)
        order = np.lexsort((-self.n_batches_, np.where(chosen, self.rank_, np.inf)))
        self.mask_ = np.isin(np.arange(len(order)), order[: self.n_genes])
        self.means_ = (n * means).sum(axis=0) / sizes.sum()
        spread = ((n - 1) * variances + n * (means - self.means_) ** 2).sum(axis=0)
        self.variances_ = spread / (sizes.sum() - 1)
        self.variances_norm_ = norm.mean(axis=0)
        self.dispersions_ = self.dispersions_norm_ = None


def local_trend(x: Array, y: Array, span: float) -> Array:
    """Fit a local quadratic regression and return its values at x; of few cells, whose means tie, by another way.

    loess takes a fraction of the genes around each one; where these have all but the same mean it finds no parabola.
    Then genes of equal mean are one point, of their number as weight, and each fit takes ten points or more.
    """
    if len(x) >= FEWEST:
        model = loess(x, y, span=span, degree=2)
        try:
            model.fit()
        except ValueError:  # singular
            return tied_trend(x, y, span)
        fitted: Array = np.asarray(model.outputs.fitted_values)
        if np.isfinite(fitted).all():
            return fitted
    return tied_trend(x, y, span)


def tied_trend(x: Array, y: Array, span: float) -> Array:
    """Fit local parabolas to the mean of y at each distinct x, weighted by tricube and by the number of values.

    Source: Cleveland (1979), doi:10.1080/01621459.1979.10481038.

    >>> x = np.repeat(np.arange(1.0, 12.0), 3)
    >>> tied_trend(x, x**2, 0.3).round(6)[::3].tolist()
    [1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0, 81.0, 100.0, 121.0]
    """
    points, where, weight = np.unique(x, return_inverse=True, return_counts=True)
    level = np.bincount(where, y) / weight
    taken = min(len(points), max(FEWEST, int(np.ceil(span * len(points)))))
    fitted = np.empty(len(points))
    for i, center in enumerate(points):
        away = np.abs(points - center)
        reach = np.partition(away, taken - 1)[taken - 1] * 1.001 or 1.0
        near = away < reach
        tricube = np.sqrt((1 - (away[near] / reach) ** 3) ** 3 * weight[near])
        design = np.vander((points[near] - center) / reach, 3, increasing=True)
        fitted[i] = np.linalg.lstsq(design * tricube[:, None], level[near] * tricube, rcond=1e-7)[0][0]
    return fitted[where]


def run_moments(
    group: PerRow, scale: PerRow, limit: Array, purpose: str, run: BlockRun, _start: int
) -> tuple[Array, Array, Array]:
    """Sum scaled values and their squares per batch and gene, and count those above a limit, in a run of blocks."""
    sums, squares, above = np.zeros_like(limit), np.zeros_like(limit), np.zeros(limit.shape, np.int64)
    for first, block in run:
        check_counts(block, purpose, integers=purpose == "flavor='vst'")
        for offset, piece in sparse_pieces(block):
            rows = slice(first + offset, first + offset + piece.shape[0])
            column_moments(
                piece.data, piece.indices, piece.indptr, scale[rows], group[rows], limit, sums, squares, above
            )
    return sums, squares, above


def _sums(
    blocks: Blocks, group: Array, scale: Array, limit: Array | None, purpose: str, execution: Execution | None
) -> tuple[Array, ...]:
    """Sum scaled values and their squares per batch and gene, and count those above a limit, in one pass."""
    if limit is None:
        limit = np.full((int(group.max()) + 1, blocks.shape[1]), np.inf)
    work = partial(run_moments, RowValues(group), RowValues(scale), limit, purpose)
    return reduce_blocks(work, blocks, execution, "variable genes")


def _moments(
    blocks: Blocks, group: Array, scale: Array, purpose: str, execution: Execution | None
) -> tuple[Array, Array, Array]:
    """Return mean and variance of scaled values per batch and gene, and the number of cells of each batch."""
    sums, squares, _ = _sums(blocks, group, scale, None, purpose, execution)
    sizes = np.bincount(group)
    n = sizes[:, None]
    means = sums / n
    # exactly 0 for a gene that is the same in all cells, because these sums of integers are exact
    variances = np.maximum(squares - sums**2 / n, 0.0) / np.maximum(n - 1, 1)
    return means, variances, sizes


def _dispersions(mean: Array, variance: Array, n_bins: int) -> Array:
    """Return log1p of the mean, log dispersion, and log dispersion standardised within bins of the mean, 3 x genes."""
    floor = np.where(mean == 0, 1e-12, mean)
    ratio = variance / floor
    dispersion = significant(np.log(ratio, out=np.full_like(ratio, np.nan), where=ratio > 0), BITS)
    level = significant(np.log1p(floor), BITS)
    bins, low, high = np.zeros(len(level), np.int64), level.min(initial=np.inf), level.max(initial=-np.inf)
    if low < high:
        edges = np.linspace(low, high, n_bins + 1)
        # bins are open on the left and closed on the right, but the lowest value belongs to the first
        bins = np.clip(np.searchsorted(edges, level, side="left") - 1, 0, n_bins - 1)
    center, spread = np.zeros(n_bins), np.ones(n_bins)
    for b in range(n_bins):
        members = dispersion[(bins == b) & ~np.isnan(dispersion)]
        if len(members) > 1:
            center[b], spread[b] = members.mean(), members.std(ddof=1)
        elif len(members) == 1:
            # a gene alone in its bin is standardised to 1, as in Seurat
            spread[b] = members[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([level, dispersion, (dispersion - center[bins]) / spread[bins]])


def _mean_of_known(values: Array) -> Array:
    """Average over batches, ignoring NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0).sum(axis=0)
    n = known.sum(axis=0)
    means = np.full(len(sums), np.nan)
    np.divide(sums, n, out=means, where=n > 0)
    return means
