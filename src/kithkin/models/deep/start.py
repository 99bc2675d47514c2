"""Initial responsibilities of the clusters, the variance they explain, and their smoothing in an embedding."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import linalg, sparse
from scipy.special import logsumexp

from kithkin.core.blocks import Array, Block, Blocks, Mapped
from kithkin.core.execute import Execution
from kithkin.models.graphs.partition import cut_quality, merge_groups
from kithkin.models.kmeans import KMeans
from kithkin.models.leiden import Leiden
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.neighbors.transfer import Votes
from kithkin.models.nn.batches import EXTRA_EPOCH, Batches, Scale
from kithkin.models.pca.pca import PCA
from kithkin.models.table.normalize import TARGET_SUM
from kithkin.models.umap import UMAP

N_NEIGHBORS = 15
N_LAYOUTS = 8
RESOLUTIONS = (1.0, 2.0, 4.0, 8.0)  # of the communities that are merged
ROUNDS = 10  # of smoothing over neighbours
COMPONENTS = 50
WIDEST = 4000  # columns of which the covariance is taken
LARGEST = 50_000  # rows that are laid out; the others take the responsibilities of the nearest of these


def gaussian_responsibilities(X: Array, n_clusters: int, seed: int = 0, max_iter: int = 100) -> tuple[Array, float]:
    """Fit a mixture of Gaussians, initialised by k-means; return responsibilities and mean log-likelihood.

    Each component has its own covariance. Dempster, Laird, Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.
    """
    X = np.asarray(X, np.float64)
    n, d = X.shape
    alone = Execution(threads=1, progress=False)
    labels = KMeans(n_clusters, n_starts=10, seed=seed).fit(X, alone).labels_
    responsibilities = np.zeros((n, n_clusters))
    responsibilities[np.arange(n), labels] = 1.0
    floor = 1e-4 * max(float(X.var(axis=0).mean()), 1e-12) * np.eye(d)
    before, log_likelihood = -np.inf, -np.inf
    for _ in range(max_iter):
        density = np.empty((n, n_clusters))
        for k in range(n_clusters):
            weight = responsibilities[:, k].sum() + 1e-9
            mean = responsibilities[:, k] @ X / weight
            centred = X - mean
            root = linalg.cholesky((centred * responsibilities[:, k, None]).T @ centred / weight + floor, lower=True)
            whitened = linalg.solve_triangular(root, centred.T, lower=True)
            density[:, k] = np.log(weight / n) - np.log(root.diagonal()).sum() - 0.5 * (whitened**2).sum(0)
        total = logsumexp(density, axis=1)
        responsibilities = np.exp(density - total[:, None])
        log_likelihood = float(total.mean())
        if log_likelihood - before < 1e-5:
            break
        before = log_likelihood
    return responsibilities.astype(np.float32), log_likelihood


def leading_scores(
    blocks: Blocks,
    scale: Scale,
    seed: int = 0,
    execution: Execution | None = None,
    totals: Array | None = None,
) -> Array:
    """Return the leading principal components of a table as it is scaled, n x 50 at most."""
    n, p = blocks.shape[0], scale.width(blocks.shape[1])
    if p == 1:
        return np.concatenate([scale.dense(blocks.read(*rows)) for rows in blocks.ranges])
    wanted, method = max(1, min(COMPONENTS, n - 1, p - 1)), "truncated" if uses_seed(p) else "covariance"
    if scale.name == "log1p":
        model = PCA(wanted, target_sum=TARGET_SUM, method=method, seed=seed)
        return model.fit_transform(blocks, columns=scale.columns, totals=totals, execution=execution)
    model = PCA(wanted, normalize=None, method=method, seed=seed)
    scaled = Mapped(blocks, partial(_scale, scale=scale), n_columns=p, dtype=np.dtype(np.float32), is_sparse=False)
    return model.fit_transform(scaled, execution=execution)


def uses_seed(p: int) -> bool:
    """Tell whether the principal components of so many columns depend on the seed, in their last digits."""
    return p > WIDEST


def _scale(block: Block, _start: int, scale: Scale) -> Block:
    return scale.dense(block)


def initial_responsibilities(H: Array, n_clusters: int, start: str, seed: int = 0) -> Array:
    """Find the initial responsibilities of the clusters, n x n_clusters, for the head to learn.

    "kmeans" clusters the rows of H, n x d. "map" takes mixtures of Gaussians on several UMAPs of the graph of
    neighbours, and its communities merged to as many clusters: of these the one with the best `cut_quality` of the
    graph.
    """
    alone = Execution(threads=1, progress=False)
    n = len(H)
    if start == "map" and n >= max(30, 3 * n_clusters) and np.ptp(H, axis=0).any() and H.shape[1] > 1:
        chosen = np.arange(n)
        if n > LARGEST:
            chosen = np.sort(np.random.default_rng(seed).choice(n, LARGEST, replace=False))
        graph = Neighbors(min(N_NEIGHBORS, len(chosen) - 1)).fit(H[chosen], alone).connectivities_
        candidates = []  # mixtures on several layouts see what stands apart, and merged communities miss no group
        for i in range(N_LAYOUTS):
            layout = UMAP(min_dist=0.0, seed=N_LAYOUTS * seed + i).fit(graph, H[chosen], alone).embedding_
            candidates.append(gaussian_responsibilities(layout, n_clusters, seed)[0])
        for resolution in RESOLUTIONS:
            labels = Leiden(resolution, seed=seed).fit(graph).labels_
            if labels.max() + 1 >= n_clusters:
                merged = (merge_groups(graph, labels, n_clusters, by) for by in ("modularity", "cut"))
                candidates += [_one_hot(groups, n_clusters) for groups in merged]
        best = candidates[int(np.argmax([cut_quality(graph, one.argmax(1)) for one in candidates]))]
        if n <= LARGEST:
            return best
        nearest = Votes(1).fit(H[chosen], np.zeros(len(chosen), np.int64), H, alone).indices_[:, 0]
        spread: Array = best[nearest]
        return spread
    return _one_hot(KMeans(n_clusters, n_starts=20, seed=seed).fit(H, alone).labels_, n_clusters)


def _one_hot(labels: Array, n_clusters: int) -> Array:
    out = np.zeros((len(labels), n_clusters), np.float32)
    out[np.arange(len(labels)), labels] = 1.0
    return out


def smooth_responsibilities(H: Array, responsibilities: Array) -> Array:
    """Average responsibilities (n x K) over neighbours in an embedding, a few times; clusters keep their sizes."""
    if len(H) < 4:
        return responsibilities.astype(np.float32)
    alone = Execution(threads=1, progress=False)
    graph = Neighbors(min(N_NEIGHBORS, len(H) - 1)).fit(np.ascontiguousarray(H, np.float32), alone).connectivities_
    weights = sparse.diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1e-12)) @ graph
    smooth, sizes = responsibilities.astype(np.float64), responsibilities.sum(0, dtype=np.float64)
    for _ in range(ROUNDS):
        smooth = weights @ smooth
        smooth *= sizes / np.maximum(smooth.sum(0), 1e-12)
        smooth /= np.maximum(smooth.sum(1, keepdims=True), 1e-12)
    return smooth.astype(np.float32)


def explained_variance(batches: Batches, responsibilities: Array) -> Array:
    """Return the fraction of the variance of each column that clusters explain, p float32; by one epoch of batches."""
    K, p = responsibilities.shape[1], batches.width
    sums, squares, sizes = np.zeros((K, p)), np.zeros(p), np.zeros(K)
    for rows, x in batches.epoch(EXTRA_EPOCH):  # in an order that does not depend on the blocks, and so to the bit
        sums += responsibilities[rows].T @ x
        squares += np.einsum("ij,ij->j", x, x, dtype=np.float64)
        sizes += responsibilities[rows].sum(0, dtype=np.float64)
    n = sizes.sum()
    mean = sums.sum(0) / n
    between = (sums**2 / np.maximum(sizes, 1e-12)[:, None]).sum(0) / n - mean**2
    total = squares / n - mean**2
    # float32 products are good to some 1e-6 of the squares: below, a column is constant
    constant = total <= 1e-6 * (squares / n)
    explained = np.where(constant, 0.0, np.clip(between / np.where(constant, 1.0, total), 0.0, 1.0))
    return explained.astype(np.float32)
