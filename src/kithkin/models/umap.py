"""UMAP layout of a neighbour graph, identical for any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_numbers, offsets
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, track
from kithkin.kernels.umap import move_batches
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.weighted_graph import GraphBlocks
from kithkin.models.kmeans import KMeans
from kithkin.models.pca.pca import PCA
from kithkin.models.table.significant import significant

EXTENT = 10.0  # largest coordinate at the start, as in umap-learn
NOISE = 1e-4  # parts points that start at one place
PHASES = 4  # an epoch moves every fourth batch at a time: all at once cost quality, more gained none
ROWS = 256  # vertices of a batch: its buffers stay in the first cache
SMALL = 20_000  # edges of a phase below which a second thread costs more than it brings
LARGEST = np.float32(2**32 - 256)  # the largest float32 below 2^32


class UMAP(Estimator):
    r"""UMAP embedding of a weighted graph in the plane.

    A pair at distance :math:`d` in the plane has the similarity :math:`\phi(d) = 1 / (1 + a d^{2b})`, and stochastic
    gradient descent lowers the cross-entropy between these similarities and the weights :math:`w_{ij}` of the graph.
    In each epoch an edge is drawn with probability :math:`w_{ij} / \max w`; it pulls its vertex to the neighbour, and
    `negative_sample_rate` vertices drawn at random push it away. Edges expected less than once in all epochs are left
    out. A vertex moves once an epoch, by the sum of its pulls and pushes, and a quarter of the vertices move at the
    same time, so the result depends on the seed but not on threads. Vertices without edges stay where they start.

    Parameters
    ----------
    n_components
        Dimensions of the embedding; only 2.
    n_epochs
        Number of epochs; by default 500 up to 10,000 vertices, and 200 above.
    min_dist
        Distance up to which linked vertices count as fully similar.
    spread
        Scale of the distances at which similarity decays.
    negative_sample_rate
        Number of random vertices that repel, for each sampled edge.
    learning_rate
        Initial learning rate; it falls linearly to 0.
    init
        "pca": the first two columns of X; "kmeans": X along the two leading directions of its k-means centers, in which
        rare groups count as much as common ones; or an n x 2 array, taken as it is.
    n_centers
        Number of centers for init="kmeans", at most one for ten vertices.
    callback
        `callback(epoch, embedding)` after every epoch, with a view (n x 2) that the next epoch overwrites.
    seed
        Seed of the sampling of edges and vertices, and of the initialisation.

    Attributes
    ----------
    embedding_
        n x 2 float32.
    a_, b_
        Parameters of the similarity curve, from min_dist and spread.
    n_epochs_
        Number of epochs.

    References
    ----------
    McInnes, Healy, Melville, UMAP: uniform manifold approximation and projection (2018), doi:10.48550/arXiv.1802.03426.
    Damrich, Hamprecht, On UMAP's true loss function (2021), doi:10.48550/arXiv.2103.14608.

    Examples
    --------
    >>> two_groups = np.kron(np.eye(2), np.ones((5, 5)))
    >>> start = np.random.default_rng(0).normal(size=(10, 2))
    >>> model = UMAP(n_epochs=100, init=start).fit(two_groups)
    >>> first, second = model.embedding_[:5], model.embedding_[5:]
    >>> bool(np.linalg.norm(first.mean(0) - second.mean(0)) > 2 * first.std(0).max())
    True
    """

    embedding_: Array
    a_: float
    b_: float
    n_epochs_: int

    def __init__(
        self,
        n_components: int = 2,
        *,
        n_epochs: int | None = None,
        min_dist: float = 0.5,
        spread: float = 1.0,
        negative_sample_rate: int = 5,
        learning_rate: float = 1.0,
        init: str | Array = "pca",
        n_centers: int = 256,
        callback: Callable[[int, Array], None] | None = None,
        seed: int = 0,
    ) -> None:
        self.n_components, self.n_epochs, self.min_dist, self.spread = n_components, n_epochs, min_dist, spread
        self.negative_sample_rate, self.learning_rate = negative_sample_rate, learning_rate
        self.init, self.n_centers, self.callback, self.seed = init, n_centers, callback, seed

    def fit(self, graph: Any, X: Any = None, execution: Execution | None = None) -> Self:
        """Lay out the graph.

        Parameters
        ----------
        graph
            n x n symmetric weights: SciPy sparse matrix, array or sparse row blocks, such as
            `Neighbors.connectivities_`.
        X
            n x p array for the initialisation, such as principal components; not needed if init is an array.
        execution
            Threads; memory is 8 bytes an edge, beside the graph if that is not in blocks on disk, whatever the budget.

        Raises
        ------
        ParameterError
            If a parameter is out of range; if the graph is not square and symmetric, has no edges, or a weight is
            negative or not finite; if X or init do not have its rows.
        """
        check_choice("n_components", self.n_components, (2,))
        if self.n_epochs is not None:
            check_range("n_epochs", self.n_epochs, 1, 10**6)
        check_range("spread", self.spread, 0.01, 100.0)
        check_range("min_dist", self.min_dist, 0.0, self.spread)
        check_range("negative_sample_rate", self.negative_sample_rate, 0, 1000)
        check_range("learning_rate", self.learning_rate, 1e-6, 100.0)
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_range("n_centers", self.n_centers, 2, 10**5)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("pca", "kmeans"))
        execution = Execution() if execution is None else execution
        blocks = GraphBlocks(graph).blocks
        n = blocks.shape[0]
        start = self._initial(n, X, execution)
        del X, graph  # if nobody else holds them, they are not part of the peak
        self.n_epochs_ = (500 if n <= 10_000 else 200) if self.n_epochs is None else int(self.n_epochs)
        self.a_, self.b_ = similarity_curve(self.min_dist, self.spread)
        edges = drawn_edges(blocks, self.n_epochs_)
        del blocks
        self.embedding_ = self._optimize(edges, start, execution)
        return self

    def _initial(self, n: int, X: Any, execution: Execution) -> Array:
        """Return the positions before the first epoch, n x 2 float32."""
        if not isinstance(self.init, str):
            given: Array = np.asarray(self.init, dtype=np.float32)
            check(given.shape == (n, 2), f"init must be {n} x 2, got {' x '.join(map(str, given.shape))}")
            check(bool(np.isfinite(given).all()), "init must be finite")
            return given
        check(X is not None, f"init={self.init!r} needs X, the table that the graph was made from")
        X = as_numbers(X, "X")
        check(X.ndim == 2 and X.shape[0] == n, f"X must have the graph's {n} rows, got shape {X.shape}")
        check(X.shape[1] >= 2, f"X must have at least 2 columns, got {X.shape[1]}")
        if self.init == "pca":
            plane = np.array(X[:, :2], dtype=np.float64)
        else:
            n_clusters = min(self.n_centers, max(2, n // 10), n)
            centers = KMeans(n_clusters, max_iter=0, n_starts=1, seed=self.seed).fit(X, execution).cluster_centers_
            plane = np.asarray(PCA(2, normalize=None).fit(centers).transform(X), dtype=np.float64)
        check(bool(np.isfinite(plane).all()), "X must be finite")
        plane -= plane.mean(axis=0)
        check(bool(plane.any()), "X must vary in its first two columns: give principal components")
        plane *= EXTENT / np.abs(plane).max()
        plane += np.random.default_rng(self.seed).normal(scale=NOISE, size=plane.shape)
        start: Array = plane.astype(np.float32)
        return start

    def _optimize(self, edges: tuple[Array, Array, Array], start: Array, execution: Execution) -> Array:
        n = len(start)
        rows = max(16, min(ROWS, n // 64))
        n_batches = -(-n // rows)
        now = np.zeros((n_batches * rows, 2), np.float32)
        now[:n] = start
        then = now.copy()
        # phase p owns batches p, p + PHASES, ...: it reads all in `now`, writes its own in `then` and hands them over
        phases = [
            (now.reshape(n_batches, rows, 2)[p::PHASES], then.reshape(n_batches, rows, 2)[p::PHASES])
            for p in range(PHASES)
        ]
        threads = execution.threads if len(edges[1]) > SMALL * PHASES else 1
        tasks = []
        for phase in range(PHASES):  # first and last batch of each thread
            count = len(range(phase, n_batches, PHASES))
            cuts = [phase + PHASES * (count * i // threads) for i in range(threads + 1)]
            tasks.append([(first, min(last, n_batches)) for first, last in pairwise(cuts) if first < last])
        keys = np.random.SeedSequence(self.seed).generate_state(self.n_epochs_)
        a, b = np.float32(self.a_), np.float32(self.b_)
        indptr, neighbors, limits = edges
        points, moved = now[:n], then[:n]

        with ThreadPoolExecutor(threads) as pool:
            for epoch in track(range(self.n_epochs_), execution, "UMAP", unit="epoch"):
                alpha = np.float32(self.learning_rate * (1 - epoch / self.n_epochs_))

                def move(piece: tuple[int, int], alpha: np.float32 = alpha, key: Any = keys[epoch]) -> None:
                    # fmt: off
                    move_batches(
                        piece[0], piece[1], PHASES, rows, indptr, neighbors, limits, points, moved, a, b, alpha,
                        self.negative_sample_rate, key,
                    )
                    # fmt: on

                for pieces, (old, new) in zip(tasks, phases, strict=True):
                    for _ in pool.map(move, pieces) if threads > 1 else map(move, pieces):
                        pass
                    old[:] = new
                if self.callback is not None:
                    self.callback(epoch, now[:n])
        return np.ascontiguousarray(now[:n]) + np.float32(0)  # no zero keeps a sign


def drawn_edges(blocks: Blocks, n_epochs: int) -> tuple[Array, Array, Array]:
    """Choose the edges that are expected at least once in all epochs; those of a vertex to itself are left out.

    blocks: n x n symmetric weights.
    Returns pointers (int64) and ends (uint32) of compressed rows, and the uint32 below which 32 random bits draw the
    edge.
    """
    n, n_edges, top = blocks.shape[0], 0, np.float32(0)
    for start, stop in blocks.ranges:
        weights, _, _ = _links_between(blocks, start, stop)
        n_edges, top = n_edges + len(weights), max(top, weights.max(initial=0))
    check(bool(top > 0), f"graph must have edges, got none between its {n} vertices")
    check(n_edges < 2**32, f"graph must have less than 2^32 edges, got {n_edges}")
    # memory for all, of which the system gives what is written
    pointers, others, limits = np.zeros(n + 1, np.int64), *np.empty((2, n_edges), np.uint32)
    for start, stop in blocks.ranges:
        weights, indices, indptr = _links_between(blocks, start, stop)
        keep = weights >= top / n_epochs
        pointers[start + 1 : stop + 1] = pointers[start] + offsets(keep)[indptr[1:]]
        part = slice(pointers[start], pointers[stop])
        others[part] = indices[keep]
        limits[part] = np.minimum(weights[keep] * np.float32(2**32 / top), LARGEST).astype(np.uint32)
    return pointers, others[: pointers[-1]], limits[: pointers[-1]]


def _links_between(blocks: Blocks, start: int, stop: int) -> tuple[Array, Array, Array]:
    """Read weights (float32), ends and pointers of the rows start to stop, without those of a vertex to itself."""
    block: Any = blocks.read(start, stop)
    others = block.indices != np.repeat(np.arange(start, stop), np.diff(block.indptr))
    data = block.data.astype(np.float32, copy=False)
    if others.all():
        return data, block.indices, block.indptr
    return data[others], block.indices[others], offsets(others)[block.indptr]


def similarity_curve(min_dist: float, spread: float) -> tuple[float, float]:
    """Fit a and b so that 1 / (1 + a d^(2b)) is nearest to 1 up to min_dist and an exponential fall beyond.

    Both are rounded to 16 significant bits, which the last bits of the fit do not reach.
    """
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3 * spread, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist) / spread))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    a, b = significant(np.array([a, b]), 16)
    return float(a), float(b)
