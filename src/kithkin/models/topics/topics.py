"""Topics of counts: Poisson non-negative matrix factorisation, fitted in passes over the rows."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from scipy.special import entr

from kithkin.core.blocks import Array, Block, Blocks, Mapped, SparseRows, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.core.own_rows import PerRow, RowValues
from kithkin.kernels.topics import update_factors
from kithkin.models.estimator import Estimator
from kithkin.models.kmeans import KMeans
from kithkin.models.pca.pca import PCA
from kithkin.models.table.normalize import row_scale
from kithkin.models.topics.passes import (
    TINY,
    fit_loadings,
    initial_factors,
    pass_over_rows,
    summarize_counts,
    to_proportions,
)

COMPONENTS = 30

SWEEPS_OF_FACTORS = 10
SURE = 0.9  # initial weight of a row's first topic
QUIET = 3  # consecutive passes that have to change little
# Ang and Gillis 2019: how far to extrapolate, how that and its bound grow, and how it shrinks after a failure
FIRST_LENGTH, GROWTH, GROWTH_OF_BOUND, SHRINKAGE = 0.5, 1.05, 1.01, 1.5
PLAIN = 5  # passes before the first extrapolation
KEPT = 0.1  # part of a factor that an extrapolation leaves at least


class Topics(Estimator):
    r"""Poisson non-negative matrix factorisation, and the topic model that it is equivalent to.

    Counts are modelled as x_ij ~ Poisson(sum_k l_ik f_jk). Each iteration is one pass over the rows: the loadings of
    every row are improved coordinate by coordinate, and the sums that the rows leave behind, gradient and curvature of
    each column's loss, give every column a step that cannot raise it: of a multiplicative step and a proximal Newton
    step damped by self-concordance the one that is sure to gain more. Factors are then extrapolated; an extrapolation
    that raised the loss is taken back. Memory is (n + p) x n_topics, and p x n_topics^2 for each thread. The result
    depends on the seed through the start, not on threads, and on the size of the blocks only by rounding.

    Parameters
    ----------
    n_topics
        Number of topics.
    max_iter
        Passes at most.
    tolerance
        Stop when the divergence falls by less than this fraction of itself in each of three passes.
    seed
        Seed of the start: k-means on components of square roots of proportions.

    Attributes
    ----------
    loadings_
        L, n x n_topics float32; its rows sum to about the counts of the row.
    factors_
        F, p x n_topics float64; each column sums to one: how the topic spreads its counts over the genes. Topics come
        in the order of their counts, the largest first.
    weights_
        Multinomial form, n x n_topics float32: loadings_ with rows that sum to one; NaN for rows without counts.
    labels_
        n int32, the topic with the largest weight; -1 for rows without counts.
    entropy_
        Entropy of the weights in nats, n float32: 0 for a row of one topic.
    divergence_
        sum x log(x / m) - x + m with m = L F'.
    trace_
        The divergence of each pass that was kept; it rises by rounding at most.
    n_iter_
        Passes made.

    References
    ----------
    Carbonetto, Sarkar, Wang and Stephens, Non-negative matrix factorization algorithms greatly improve topic model
    fits (2021), arXiv:2105.13440.
    Ang and Gillis, Accelerating nonnegative matrix factorization algorithms using extrapolation (2019),
    doi:10.1162/neco_a_01157.
    Tran-Dinh, Kyrillidis and Cevher, Composite self-concordant minimization (2015), arXiv:1308.2867.

    Examples
    --------
    >>> X = np.repeat([[8, 4, 0, 0], [0, 0, 5, 5]], 10, axis=0)
    >>> model = Topics(2).fit(X)
    >>> model.weights_[[0, -1]].round(2).tolist(), model.factors_.round(2).T.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0.67, 0.33, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    """

    loadings_: Array
    factors_: Array
    weights_: Array
    labels_: Array
    entropy_: Array
    divergence_: float
    trace_: Array
    n_iter_: int

    def __init__(self, n_topics: int = 10, *, max_iter: int = 100, tolerance: float = 1e-5, seed: int = 0) -> None:
        self.n_topics, self.max_iter, self.tolerance, self.seed = n_topics, max_iter, tolerance, seed

    def fit(self, X: Any, execution: Execution | None = None, *, start: Array | None = None) -> Self:
        """Find the topics.

        Parameters
        ----------
        X
            Counts, n x p: array, SciPy sparse matrix or row blocks.
        execution
            Memory, threads and executor.
        start
            n labels 0 to n_topics - 1, or n x n_topics weights, to begin from instead of k-means.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X holds negative or no finite numbers or nothing but zeros, or the start
            does not fit.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        check_range("n_topics", self.n_topics, 1, min(blocks.shape))
        check_range("max_iter", self.max_iter, 1, 10**6)
        check_range("tolerance", self.tolerance, 0.0, 1.0)
        summary = summarize_counts(blocks, execution)
        largest = float(summary.totals.max())
        check(
            largest < np.sqrt(np.finfo(np.float32).max), f"X must fit single precision, but a row sums to {largest:.3g}"
        )
        if start is None:
            start = initial_groups(blocks, self.n_topics, summary.totals, self.seed, execution)
        weights = _start_weights(np.asarray(start), blocks.shape[0], self.n_topics)
        factors = initial_factors(blocks, weights, execution)
        loadings = (weights * summary.totals[:, None]).astype(np.float32)
        held, bound, length = np.inf, 1.0, FIRST_LENGTH
        tried, quiet, trace = factors, 0, []
        for n_passes in range(1, self.max_iter + 1):
            new_loadings, sums = pass_over_rows(blocks, loadings, tried, summary, execution)
            divergence = sums.loss + summary.constant
            if divergence > held and tried is not factors:
                # extrapolated too far: back to the last factors, which are sure to be no worse than those before
                bound, length, tried = length, length / SHRINKAGE, factors
                continue
            trace.append(divergence)
            quiet = quiet + 1 if held - divergence < self.tolerance * divergence else 0
            new = tried.copy()
            totals = np.maximum(new_loadings.sum(axis=0, dtype=np.float64), TINY)
            update_factors(sums.gradient, sums.curvature, totals, summary.least, SWEEPS_OF_FACTORS, new)
            tried = new
            if n_passes > PLAIN:
                tried = np.maximum(new + length * (new - factors), KEPT * new)
                bound, length = min(1.0, GROWTH_OF_BOUND * bound), min(bound, GROWTH * length)
            factors, loadings, held = new, new_loadings, divergence
            if quiet == QUIET:
                break
        self.trace_, self.n_iter_ = np.array(trace), n_passes
        # give the rows the loadings that go with the last factors, scale, and order the topics
        loadings, sums = pass_over_rows(blocks, loadings, factors, summary, execution)
        self.divergence_ = sums.loss + summary.constant
        scale = factors.sum(axis=0)
        order = np.argsort(-(loadings.sum(axis=0, dtype=np.float64) * scale), kind="stable")
        self.factors_ = (factors / np.maximum(scale, TINY))[:, order]
        self.loadings_ = (loadings * scale)[:, order].astype(np.float32)
        self.weights_ = to_proportions(self.loadings_)
        known = np.isfinite(self.weights_[:, 0])
        self.labels_ = np.where(known, self.weights_.argmax(axis=1), -1).astype(np.int32)
        self.entropy_ = entr(self.weights_).sum(axis=1)
        return self

    def transform(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the weights of the topics in other rows of the same columns: n x n_topics float32, rows sum to one.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or holds negative or no finite numbers.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        p = len(self.factors_)
        check(blocks.shape[1] == p, f"X must have {p} columns as in fit, got {blocks.shape[1]}")
        summary = summarize_counts(blocks, execution)
        loadings = np.outer(summary.totals, np.full(self.n_topics, 1 / self.n_topics)).astype(np.float32)
        return to_proportions(fit_loadings(blocks, loadings, self.factors_, summary.least, execution))


def distinctive_features(factors: Array, n_features: int = 10) -> Array:
    """Find the features that set topics apart: the largest of min_l f_k log(f_k / f_l) + f_l - f_k over other topics l.

    factors: p x k, columns sum to one.
    Returns k x n_features positions, the most distinctive first.
    Source: Dey, Hsiao and Stephens, Visualizing the structure of RNA-seq expression data using grade of membership
        models (2017), doi:10.1371/journal.pgen.1006599.
    """
    p, k = factors.shape
    check_range("n_features", n_features, 1, p)
    features = np.empty((k, n_features), np.int64)
    floored = np.maximum(factors, TINY)
    for topic in range(k):
        own = floored[:, [topic]]
        others = np.delete(floored, topic, axis=1)
        apart = (own * np.log(own / others) + others - own).min(axis=1) if k > 1 else own[:, 0]
        # a gene that is rarer than in the next topic is distinct as well, but is no name for this one
        raised = np.where(own[:, 0] >= others.max(axis=1, initial=0.0), apart, -1.0)
        features[topic] = np.argsort(-raised, kind="stable")[:n_features]
    return features


def _start_weights(start: Array, n_rows: int, n_topics: int) -> Array:
    """Check a start and mix it with even weights, n x n_topics."""
    if start.ndim == 1:
        check(len(start) == n_rows, f"start must hold {n_rows} labels, one for each row, got {len(start)}")
        good = start.dtype.kind in "iu" and bool(np.all((start >= 0) & (start < n_topics)))
        check(good, f"the labels of start must be in 0..{n_topics - 1}")
        start = np.eye(n_topics)[start]
    shape = (n_rows, n_topics)
    check(start.shape == shape, f"start must be {n_rows} x {n_topics}, got {' x '.join(map(str, start.shape))}")
    check(bool(np.all(start >= 0) and np.all(np.isfinite(start))), "the weights of start must be finite and at least 0")
    sums = start.sum(axis=1, keepdims=True)
    even = np.full(shape, 1 / n_topics)
    # a weight of zero would stay zero
    weights: Array = (1 - SURE) * even + SURE * np.divide(start, sums, out=even.copy(), where=sums > 0)
    return weights


def initial_groups(
    blocks: Blocks, n_groups: int, totals: Array, seed: int = 0, execution: Execution | None = None
) -> Array:
    """Cluster rows by k-means on components of square roots of proportions, which evens out the variance of counts.

    blocks: counts, n x p.
    totals: counts of each row, n.
    Returns n int32, 0 to n_groups - 1.
    """
    roots = Mapped(blocks, partial(root_block, RowValues(row_scale(totals, 1.0))), dtype=np.dtype(np.float32))
    n_components = min(COMPONENTS, n_groups + 5, *(size - 1 for size in blocks.shape))
    if n_components < 1 or n_groups == 1:
        return np.zeros(blocks.shape[0], np.int32)
    method = "covariance" if blocks.shape[1] <= 1000 else "truncated"
    scores = PCA(n_components, normalize=None, method=method, seed=seed).fit_transform(roots, execution=execution)
    return KMeans(n_groups, n_starts=10, seed=seed).fit(scores, execution).labels_


def root_block(scale: PerRow, block: Block, start: int) -> Block:
    """Return the square roots of scaled counts of a block."""
    factor = scale[start : start + block.shape[0]]
    if isinstance(block, SparseRows):
        roots = np.sqrt(block.data * np.repeat(factor, np.diff(block.indptr)))
        return SparseRows(roots.astype(np.float32), block.indices, block.indptr, block.n_columns)
    out: Array = np.sqrt(block * factor[:, None]).astype(np.float32)
    return out
