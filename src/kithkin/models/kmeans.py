"""k-means over row blocks: dense or sparse, in memory that does not grow with the rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeAlias

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Block, Blocks, InMemory, SparseRows, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.distance import add_dense, add_sparse, keep_smallest, sparse_scores
from kithkin.models.estimator import Estimator
from kithkin.models.table.blas import single_threaded

TILE = 1024  # rows or centers of one matrix product, so that its result stays in the second cache
HUGE = np.finfo(np.float32).max
Far: TypeAlias = tuple[float, Array]  # squared distance of a row from its center, and that row


class KMeans(Estimator):
    """Partition of rows into groups, each around its mean.

    A start by k-means++ on a sample of the rows is refined on the sample, the best of a few is kept, and Lloyd's
    rounds over all rows finish it. Each round reads the table once; memory is n_clusters x p and a few blocks.
    Distances are computed in single precision, sums in double. The result depends on the seed, not on threads,
    and on the size of the blocks only by rounding.

    Parameters
    ----------
    n_clusters
        Groups to make.
    max_iter
        Rounds over all rows at most; 0 leaves the centers as the sample gave them.
    tolerance
        Stop when the squared moves of all centers sum to less than this fraction of the mean variance of a column.
    start
        "k-means++", or "random" rows, which is as good when there are hundreds of groups.
    n_starts
        Starts on the sample, of which the one with the least inertia goes on.
    n_sample
        Rows of the sample; 32 per group, and at least 4096, when None.
    seed
        Seed of the sample and the starts.

    Attributes
    ----------
    cluster_centers_
        n_clusters x p float64.
    labels_
        Length n int32, the nearest center of each row.
    inertia_
        Sum of squared distances of rows to their centers.
    n_iter_
        Rounds over all rows.

    References
    ----------
    Lloyd, Least squares quantization in PCM (1982), doi:10.1109/TIT.1982.1056489.
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007), doi:10.5555/1283383.1283494.

    Examples
    --------
    >>> X = np.array([[0.0], [0.2], [5.0], [5.2], [5.4]])
    >>> model = KMeans(2).fit(X)
    >>> sorted(model.cluster_centers_.round(3).ravel().tolist()), round(model.inertia_, 3)
    ([0.1, 5.2], 0.1)
    """

    cluster_centers_: Array
    labels_: Array
    inertia_: float
    n_iter_: int

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        max_iter: int = 50,
        tolerance: float = 1e-4,
        start: str = "k-means++",
        n_starts: int = 10,
        n_sample: int | None = None,
        seed: int = 0,
    ) -> None:
        self.n_clusters, self.max_iter, self.tolerance = n_clusters, max_iter, tolerance
        self.start, self.n_starts, self.n_sample, self.seed = start, n_starts, n_sample, seed

    def fit(self, X: Any, execution: Execution | None = None) -> Self:
        """Find the centers and the group of each row.

        Parameters
        ----------
        X
            n x p array, SciPy sparse matrix or row blocks.
        execution
            Memory and threads.

        Raises
        ------
        ParameterError
            If a parameter is out of range, there are fewer rows than groups, or X holds NaN or infinity.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        n, p = blocks.shape
        check(n >= 1 and p >= 1, f"X must have rows and columns, got {n} x {p}")
        check_range("n_clusters", self.n_clusters, 1, n)
        check_range("max_iter", self.max_iter, 0, 10**6)
        check_range("tolerance", self.tolerance, 0.0, 1.0)
        check_range("n_starts", self.n_starts, 1, 1000)
        check_choice("start", self.start, ("k-means++", "random"))
        if self.n_sample is not None:
            check_range("n_sample", self.n_sample, self.n_clusters, n)
        # one thread inside each product: the blocks are the parallelism, and the sums keep their order
        with single_threaded():
            rng = np.random.default_rng(self.seed)
            sample, mean, variance = self._survey(blocks, rng, execution)
            fits = bool(variance * blocks.shape[1] < HUGE)
            check(
                fits, f"X must have squares that fit single precision, got a variance of {variance:.3g}: scale it first"
            )
            # small types and single precision are exact in single precision, where the subtraction is much faster
            single = blocks.dtype.itemsize <= 2 or blocks.dtype == np.float32
            shift = np.zeros(blocks.shape[1]) if blocks.is_sparse else mean.astype(np.float32 if single else np.float64)
            threshold = self.tolerance * variance
            alone = replace(execution, threads=1, executor=None, progress=False)
            starts = []
            whole = sample.read(0, sample.shape[0])
            for _ in range(self.n_starts):
                centers = _first_centers(whole, shift, self.n_clusters, self.start, rng)
                starts.append(_lloyd(sample, centers, shift, 10, threshold, alone))
            centers = min(starts, key=lambda start: start[1])[0]
            if self.max_iter:
                centers, _, self.n_iter_ = _lloyd(blocks, centers, shift, self.max_iter, threshold, execution)
            else:
                self.n_iter_ = 0
            self.cluster_centers_, self._shift = centers, shift
            parts = list(map_blocks(partial(_assign, centers=centers, shift=shift), blocks, execution, "k-means"))
            self.labels_ = np.concatenate([labels for labels, *_ in parts])
            self.inertia_ = float(sum(spread for *_, spread, _ in parts))
        return self

    def predict(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the nearest center of each row, int32.

        Raises
        ------
        ParameterError
            If X has another number of columns than the rows of fit.
        """
        blocks = as_blocks(X)
        p = self.cluster_centers_.shape[1]
        check(blocks.shape[1] == p, f"X must have {p} columns, got {blocks.shape[1]}")
        work = partial(_labels, centers=self.cluster_centers_, shift=self._shift)
        with single_threaded():
            return np.concatenate([np.empty(0, np.int32), *map_blocks(work, blocks, execution, "k-means")])

    def _survey(self, blocks: Blocks, rng: np.random.Generator, execution: Execution) -> tuple[Blocks, Array, float]:
        """Take a sample of the rows, the mean, and the mean variance of a column in one pass."""
        n, p = blocks.shape
        # a stored value takes 8 bytes; one in ten is stored in a typical sparse table
        fits = int(execution.memory / 4 / (8 * p * (0.1 if blocks.is_sparse else 1.0)))
        wanted = (
            max(4096, 32 * self.n_clusters, min(fits, 10 * self.n_clusters)) if self.n_sample is None else self.n_sample
        )
        chosen = np.sort(rng.choice(n, min(n, max(self.n_clusters, min(wanted, fits))), replace=False))
        parts, total, squares = [], np.zeros(p), np.zeros(p)
        for part, sums, powers in map_blocks(partial(survey_block, chosen=chosen), blocks, execution, "k-means sample"):
            parts.append(part)
            total += sums
            squares += powers
        stacked = sparse.vstack(parts, "csr") if blocks.is_sparse else np.concatenate(parts)
        mean = total / n
        return InMemory(stacked), mean, float(np.maximum(squares / n - mean**2, 0).mean())


def survey_block(block: Block, start: int, chosen: Array) -> tuple[Any, Array, Array]:
    """Take the sampled rows of a block, and sum its columns and their squares."""
    values = block.data if isinstance(block, SparseRows) else block
    check(bool(np.isfinite(values).all()), "X must be finite, but it holds NaN or infinity")
    rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + block.shape[0])] - start
    if not isinstance(block, SparseRows):
        return block[rows].copy(), block.sum(0, dtype=np.float64), np.einsum("ij,ij->j", block, block, dtype=np.float64)
    data = block.data.astype(np.float64)
    sums = np.bincount(block.indices, data, block.n_columns)
    powers = np.bincount(block.indices, data**2, block.n_columns)
    matrix = block.to_scipy()
    return matrix[rows], sums, powers


def _labels(block: Block, start: int, centers: Array, shift: Array) -> Array:  # noqa: ARG001
    """Find the nearest center of each row by |c|^2 - 2 x.c, tile after tile."""
    n, p = block.shape
    best, labels = np.full((n, 1), HUGE, np.float32), np.zeros((n, 1), np.int32)
    steps = range(0, len(centers), TILE)
    moved = (centers - shift).astype(np.float32)
    squares = np.einsum("ij,ij->i", moved, moved)
    if isinstance(block, SparseRows):
        columns = [np.ascontiguousarray(-2 * moved[c : c + TILE].T) for c in steps]
    else:
        columns = [np.vstack([-2 * moved[c : c + TILE].T, squares[None, c : c + TILE]]) for c in steps]
    for row in range(0, n, TILE):
        stop = min(n, row + TILE)
        if isinstance(block, SparseRows):
            part = block.take(row, stop)
        else:
            tile = np.ones((stop - row, p + 1), np.float32)
            np.subtract(block[row:stop], shift, out=tile[:, :p], casting="unsafe")
        for c, right in zip(steps, columns, strict=True):
            if isinstance(block, SparseRows):
                scores = np.empty((stop - row, right.shape[1]), np.float32)
                sparse_scores(part.data, part.indices, part.indptr, right, squares[c : c + TILE], scores)
            else:
                scores = tile @ right
            ids = np.arange(c, c + scores.shape[1], dtype=np.int32)
            keep_smallest(scores, ids, best[row:stop], labels[row:stop])
    return labels[:, 0]


def _assign(block: Block, start: int, centers: Array, shift: Array) -> tuple[Array, Array, Array, float, Far]:
    """Return labels, sums and sizes of the groups, inertia, and the row farthest from its center."""
    labels = _labels(block, start, centers, shift)
    sums, counts, spread = np.zeros_like(centers), np.zeros(len(centers), np.int64), np.zeros(len(labels))
    if isinstance(block, SparseRows):
        add_sparse(block.data, block.indices, block.indptr, labels, centers, sums, counts, spread)
        row = int(spread.argmax())
        far = block.take(row, row + 1).to_dense()[0]
    else:
        add_dense(block, labels, centers, sums, counts, spread)
        far = block[int(spread.argmax())]
    return labels, sums, counts, float(spread.sum()), (float(spread.max()), far.astype(np.float64))


def _lloyd(
    blocks: Blocks, centers: Array, shift: Array, max_iter: int, threshold: float, execution: Execution
) -> tuple[Array, float, int]:
    """Make Lloyd's rounds; return the centers, the inertia before the last move, and the number of rounds."""
    inertia, done = np.inf, 0
    while done < max_iter:
        sums, counts, inertia = np.zeros_like(centers), np.zeros(len(centers), np.int64), 0.0
        far: Far = (0.0, centers[0])
        work = partial(_assign, centers=centers, shift=shift)
        for _, part, sizes, spread, farthest in map_blocks(work, blocks, execution, f"k-means round {done + 1}"):
            sums += part
            counts += sizes
            inertia += spread
            far = max(far, farthest, key=lambda pair: pair[0])
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
        empty = np.flatnonzero(counts == 0)
        if len(empty) and far[0] > 0:
            # one a round: which row is farthest is known for the first only, once it has a center of its own
            moved[empty[0]] = far[1]
        shifted = float(((moved - centers) ** 2).sum())
        centers, done = moved, done + 1
        if shifted <= threshold:
            break
    return centers, inertia, done


def _first_centers(block: Block, shift: Array, n_clusters: int, start: str, rng: np.random.Generator) -> Array:
    """Choose rows of the sample to start from: any, or each far from those before it (greedy k-means++)."""
    n = block.shape[0]
    Z: Any = (
        block.to_scipy().astype(np.float32) if isinstance(block, SparseRows) else (block - shift).astype(np.float32)
    )

    def dense(rows: Any) -> Array:
        taken: Any = Z[rows]
        return np.asarray(taken.toarray() if isinstance(block, SparseRows) else taken)

    if start == "random":
        return dense(np.sort(rng.choice(n, n_clusters, replace=False))).astype(np.float64) + shift
    norms = np.asarray(Z.multiply(Z).sum(1)).ravel() if isinstance(block, SparseRows) else np.einsum("ij,ij->i", Z, Z)
    # more candidates give a better start; with many groups the sheer number of them does
    trials = 2 + int(np.log(n_clusters)) if n_clusters <= 64 else 1
    chosen: list[int] = []
    nearest = np.full(n, np.inf)
    for _ in range(n_clusters):
        weights = np.cumsum(nearest) if chosen else np.arange(1.0, n + 1)
        if weights[-1] <= 0:
            weights = np.arange(1.0, n + 1)
        tried = np.minimum(np.searchsorted(weights, rng.random(trials) * weights[-1], side="right"), n - 1)
        squares = np.maximum(norms[:, None] + norms[tried] - 2 * (Z @ dense(tried).T), 0)
        squares[tried, np.arange(trials)] = 0
        after = np.minimum(nearest[:, None], squares)
        best = int(after.sum(0, dtype=np.float64).argmin())
        nearest = after[:, best]
        chosen.append(int(tried[best]))
    return dense(np.array(chosen)).astype(np.float64) + shift
