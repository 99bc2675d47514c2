"""Clusters of an embedding to start the head from, and the fit of labels to a graph of neighbours."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.special import logsumexp

from kithkin.core.blocks import Array, Block, Blocks, Mapped
from kithkin.core.execute import Execution
from kithkin.models.deep_batches import Scale
from kithkin.models.kmeans import KMeans
from kithkin.models.neighbors import Neighbors
from kithkin.models.normalize import TARGET_SUM
from kithkin.models.pca import PCA
from kithkin.models.umap import UMAP

N_NEIGHBORS = 15
N_LAYOUTS = 8
COMPONENTS = 50
WIDEST = 4000  # columns of which the covariance is taken
LARGEST = 50_000  # rows that are laid out; the others take the cluster of their nearest center


def gaussian_shares(X: Array, n_clusters: int, seed: int = 0, max_iter: int = 100) -> tuple[Array, float]:
    """Shares of the clusters in each row by a mixture of Gaussians, started by k-means; and the mean log-likelihood.

    Parameters
    ----------
    X
        n x d.
    n_clusters
        Components, each with its own covariance.
    seed
        Of k-means.
    max_iter
        Rounds at most.

    References
    ----------
    Dempster, Laird, Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> gaussian_shares(X, 2)[0].argmax(1).tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    True
    """
    X = np.asarray(X, np.float64)
    n, d = X.shape
    alone = Execution(threads=1, progress=False)
    labels = KMeans(n_clusters, n_starts=10, seed=seed).fit(X, alone).labels_
    shares = np.zeros((n, n_clusters))
    shares[np.arange(n), labels] = 1.0
    floor = 1e-4 * max(float(X.var(axis=0).mean()), 1e-12) * np.eye(d)
    before, log_likelihood = -np.inf, -np.inf
    for _ in range(max_iter):
        density = np.empty((n, n_clusters))
        for k in range(n_clusters):
            weight = shares[:, k].sum() + 1e-9
            mean = shares[:, k] @ X / weight
            moved = X - mean
            root = linalg.cholesky((moved * shares[:, k, None]).T @ moved / weight + floor, lower=True)
            away = linalg.solve_triangular(root, moved.T, lower=True)
            density[:, k] = np.log(weight / n) - np.log(root.diagonal()).sum() - 0.5 * (away**2).sum(0)
        total = logsumexp(density, axis=1)
        shares = np.exp(density - total[:, None])
        log_likelihood = float(total.mean())
        if log_likelihood - before < 1e-5:
            break
        before = log_likelihood
    return shares.astype(np.float32), log_likelihood


def leading_scores(blocks: Blocks, scale: Scale, seed: int = 0, execution: Execution | None = None) -> Array:
    """Principal components of a table as it is scaled, n x 50 at most.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.random.default_rng(0).random((20, 3))
    >>> leading_scores(InMemory(X), Scale.of(X, "minmax")).shape
    (20, 2)
    """
    n, p = blocks.shape[0], scale.width(blocks.shape[1])
    wanted, method = max(1, min(COMPONENTS, n - 1, p - 1)), "covariance" if p <= WIDEST else "truncated"
    if scale.name == "log1p":
        model = PCA(wanted, target_sum=TARGET_SUM, method=method, seed=seed)
        return model.fit_transform(blocks, columns=scale.columns, execution=execution)
    model = PCA(wanted, normalize=None, method=method, seed=seed)
    scaled = Mapped(blocks, partial(_scaled, scale=scale), n_columns=p, dtype=np.dtype(np.float32), is_sparse=False)
    return model.fit_transform(scaled, execution=execution)


def _scaled(block: Block, start: int, scale: Scale) -> Block:  # noqa: ARG001
    return scale.dense(block)


def start_shares(H: Array, n_clusters: int, start: str, seed: int = 0) -> Array:
    """Shares of the clusters in each row, n x n_clusters, for the head to learn.

    Parameters
    ----------
    H
        Scores or embedding, n x d.
    n_clusters
        Clusters.
    start
        "kmeans"; or "map": a mixture of Gaussians on a UMAP of the graph of neighbours.
    seed
        Of the random numbers.

    Examples
    --------
    >>> H = np.array([[0.0, 0.1], [0.1, 0.0], [5.0, 5.1], [5.1, 5.0]])
    >>> labels = start_shares(H, 2, "kmeans").argmax(1)
    >>> labels[0] == labels[1] != labels[2] == labels[3]
    np.True_
    """
    alone = Execution(threads=1, progress=False)
    n = len(H)
    if start == "map" and n >= max(30, 3 * n_clusters):
        chosen = np.arange(n)
        if n > LARGEST:
            chosen = np.sort(np.random.default_rng(seed).choice(n, LARGEST, replace=False))
        graph = Neighbors(min(N_NEIGHBORS, len(chosen) - 1)).fit(H[chosen], alone).connectivities_
        best = max(
            (_laid_out(graph, H[chosen], n_clusters, seed + i) for i in range(N_LAYOUTS)), key=lambda found: found[1]
        )
        return best[0] if n <= LARGEST else _spread(H, chosen, best[0])
    labels = KMeans(n_clusters, n_starts=20, seed=seed).fit(H, alone).labels_
    shares = np.zeros((n, n_clusters), np.float32)
    shares[np.arange(n), labels] = 1.0
    return shares


def _laid_out(graph: sparse.csr_matrix, H: Array, n_clusters: int, seed: int) -> tuple[Array, float]:
    alone = Execution(threads=1, progress=False)
    points = UMAP(min_dist=0.0, seed=seed).fit(graph, H, alone).embedding_
    shares, _ = gaussian_shares(points, n_clusters, seed)
    return shares, modularity(graph, shares.argmax(1))


def _spread(H: Array, chosen: Array, shares: Array) -> Array:
    """Give every row the shares of the nearest of the chosen rows."""
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(H[chosen]).query(H)
    found: Array = shares[nearest]
    return found


def modularity(graph: Any, labels: Array) -> float:
    r"""Weight of links within clusters beyond what the degrees explain: the internal criterion for a training.

    Parameters
    ----------
    graph
        n x n symmetric weights.
    labels
        n integers.

    References
    ----------
    Newman and Girvan 2004, doi:10.1103/PhysRevE.69.026113.

    Examples
    --------
    >>> graph = sparse.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))))
    >>> modularity(graph, np.array([0, 0, 0, 1, 1, 1])), modularity(graph, np.zeros(6, int))
    (0.5, 0.0)
    """
    graph = sparse.coo_matrix(graph)
    total = float(graph.data.sum())
    if total <= 0:
        return 0.0
    inside = float(graph.data[labels[graph.row] == labels[graph.col]].sum())
    degrees = np.bincount(graph.row, graph.data, len(labels))
    of_clusters = np.bincount(labels, degrees)
    return inside / total - float((of_clusters**2).sum()) / total**2
