"""Diffusion map of a graph, and diffusion pseudotime."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.walk import Walk
from kithkin.models.pca.eigen import fixed_signs
from kithkin.models.table.blas import single_threaded

DENSE = 400  # up to so many vertices a dense eigendecomposition is faster
TOLERANCE = 1e-6  # relative, of the eigenvalues: the map is stored in single precision


class DiffusionMap(Estimator):
    r"""Diffusion map: leading eigenvectors of a random walk normalised by density.

    With weights W and degrees :math:`q_i = \sum_j w_{ij}`, the density is divided out,
    :math:`k_{ij} = w_{ij} / (q_i q_j)` with :math:`z_i = \sum_j k_{ij}`, and the map consists of the eigenvectors of
    :math:`T_{ij} = k_{ij} / \sqrt{z_i z_j}` with the largest eigenvalues. The first is :math:`\sqrt{z}`, with
    eigenvalue 1, which carries no information.

    In a graph with several connected components the eigenvalue 1 occurs once for each; the first column then stands
    for all of them, and the others vary within components, so that a few stray vertices do not use up the map.

    Parameters
    ----------
    n_components
        Number of columns of the map, including the first.
    seed
        Seed of the initial vector of the iteration; it changes results by rounding only.

    Attributes
    ----------
    embedding_
        n x n_components float64, orthonormal. The entry of largest absolute value of each column is positive.
    eigenvalues_
        n_components, descending, the first 1.
    n_parts_
        Number of connected components of the graph.
    parts_
        Connected component of each vertex, n int32.

    References
    ----------
    Coifman and Lafon 2006, doi:10.1016/j.acha.2006.04.006. Haghverdi, Buettner and Theis 2015,
    doi:10.1093/bioinformatics/btv325.

    Examples
    --------
    >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> model = DiffusionMap(2).fit(path)
    >>> along = model.embedding_[:, 1] / model.embedding_[:, 0]
    >>> bool((np.diff(along) > 0).all() or (np.diff(along) < 0).all())
    True
    """

    embedding_: Array
    eigenvalues_: Array
    n_parts_: int
    parts_: Array

    def __init__(self, n_components: int = 15, *, seed: int = 0) -> None:
        self.n_components, self.seed = n_components, seed

    def fit(self, graph: Any, execution: Execution | None = None) -> Self:
        """Compute the map.

        Parameters
        ----------
        graph
            n x n symmetric weights, SciPy sparse matrix or array.
        execution
            Threads; memory is about 16 (n_components + 10) n bytes beyond the graph.

        Raises
        ------
        ParameterError
            If n_components is not in 2..n - n_parts_, or the graph is not one of undirected links with weights that are
            finite and not negative.
        """
        walk = Walk(graph, execution)
        self.n_parts_, self.parts_, _ = walk.parts()
        check_range("n_components", self.n_components, 2, max(2, walk.n - self.n_parts_))
        operator = Transitions(walk, self.n_parts_, self.parts_)
        k = self.n_components - 1
        with walk.threads(), single_threaded():
            if walk.n <= max(DENSE, 3 * k):
                T = np.column_stack([operator.times(column) for column in np.eye(walk.n)])
                values, vectors = eigh((T + T.T) / 2, subset_by_index=[walk.n - k, walk.n - 1])
            else:
                linear = LinearOperator((walk.n, walk.n), matvec=operator.times, dtype=np.float64)
                start = np.random.default_rng(self.seed).standard_normal(walk.n)
                values, vectors = eigsh(linear, k, which="LA", v0=start, tol=TOLERANCE, ncv=2 * k + 20)
        order = np.argsort(-values, kind="stable")
        below = np.minimum(
            values[order], 1 - 1e-12
        )  # rounding must not give a mode within a component the eigenvalue 1
        self.eigenvalues_ = np.concatenate([[1.0], below])
        first = operator.stationary / np.linalg.norm(operator.stationary)
        self.embedding_ = np.column_stack([first, fixed_signs(vectors[:, order].T).T])
        return self


class Transitions:
    """Products with T of a diffusion map, deflated of the eigenvectors of eigenvalue 1, one for each component."""

    def __init__(self, walk: Walk, n_parts: int, parts: Array) -> None:
        self._walk, self._n_parts, self._parts = walk, n_parts, parts
        self._none, self._out, ones = np.zeros((walk.n, 1)), np.empty((walk.n, 1)), np.ones(walk.n)
        density = np.divide(1.0, walk.strength, out=np.zeros(walk.n), where=walk.strength > 0)
        self._product(density, density)
        z = self._out[:, 0].copy()
        self.stationary = np.sqrt(z)
        self._factor = np.divide(density, self.stationary, out=np.zeros(walk.n), where=z > 0)
        sizes = np.sqrt(np.bincount(parts, z, n_parts))
        self._stationary = (
            self.stationary * np.divide(ones[:n_parts], sizes, out=np.zeros(n_parts), where=sizes > 0)[parts]
        )

    def times(self, vector: Array) -> Array:
        """Multiply T by a vector, and remove its projection on the eigenvectors of eigenvalue 1."""
        vector = np.ravel(vector)
        self._product(self._factor * vector, self._factor)
        projections = np.bincount(self._parts, self._stationary * vector, self._n_parts)
        product: Array = self._out[:, 0] - self._stationary * projections[self._parts]
        return product

    def _product(self, x: Array, scale: Array) -> None:
        self._walk.step(x[:, None], scale, self._none, scale, self._out)


def diffusion_pseudotime(embedding: Array, eigenvalues: Array, root: int, parts: Array | None = None) -> Array:
    r"""Compute diffusion pseudotime: distance from a root over walks of all lengths, scaled to 0..1.

    :math:`d(x, y)^2 = \sum_{l \ge 1} (\lambda_l / (1 - \lambda_l))^2 (\psi_l(x) - \psi_l(y))^2`, over all columns of
    the map but the first.

    Parameters
    ----------
    embedding
        Columns of the map, n x k.
    eigenvalues
        Eigenvalues of the map, k.
    root
        Row of the root.
    parts
        Connected component of each row, n; rows outside the component of the root get NaN.

    Returns
    -------
    ndarray
        n float64 in 0..1.

    Raises
    ------
    ParameterError
        If there is no such row, or an eigenvalue after the first is not below 1.

    References
    ----------
    Haghverdi, Büttner, Wolf, Buettner and Theis 2016, doi:10.1038/nmeth.3971.

    Examples
    --------
    >>> diffusion_pseudotime(np.array([[1, 0.0], [1, 1.0], [1, 4.0]]), np.array([1, 0.5]), 0).tolist()
    [0.0, 0.25, 1.0]
    """
    embedding, eigenvalues = as_numbers(embedding, "embedding"), as_numbers(eigenvalues, "eigenvalues")
    sizes = " x ".join(map(str, embedding.shape))
    check(
        embedding.ndim == 2 and embedding.size > 0, f"embedding must have rows and columns, got {sizes or 'a number'}"
    )
    check(eigenvalues.ndim == 1, f"eigenvalues must have one dimension, got {eigenvalues.ndim}")
    check(
        bool(np.isfinite(embedding).all() and np.isfinite(eigenvalues).all()),
        "embedding and eigenvalues must be finite",
    )
    n, k = embedding.shape
    check_range("root", root, 0, n - 1)
    check(
        k == len(eigenvalues) and k >= 2, f"eigenvalues must be 2 or more, one for each column, got {len(eigenvalues)}"
    )
    values = np.asarray(eigenvalues[1:], np.float64)
    check(bool((values < 1).all()), "eigenvalues after the first must be below 1: the map must come from one walk")
    modes = np.asarray(embedding[:, 1:], np.float64) * (values / (1 - values))
    distance = np.sqrt(np.square(modes - modes[root]).sum(axis=1))
    if parts is not None:
        distance[parts != parts[root]] = np.nan
    largest = np.nanmax(distance)
    check(bool(np.isfinite(largest)), "embedding holds values whose squares are not finite: scale it first")
    time: Array = distance / largest if largest > 0 else distance
    return time
