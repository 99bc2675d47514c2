"""Harmony: components of several batches, mixed within each kind of row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, as_blocks, as_numbers
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.models.estimator import Estimator
from kithkin.models.harmony.assignment import Assignment, PartedRows, read_unit_rows
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded

ROUNDS = 4  # of assigning the rows, before each correction
ROWS_OF_A_CLUSTER, MOST_CLUSTERS = 30, 100


class Harmony(Estimator):
    r"""Harmony: correct the coordinates of rows so that batches mix within each cluster.

    Rows of unit length :math:`z_i` are assigned softly to clusters around :math:`y_k`,

    .. math:: R_{ki} \propto \exp\left(-\frac{2 (1 - y_k \cdot z_i)}{\sigma}\right)
        \left(\frac{2 E_{kb} + 1}{O_{kb} + E_{kb} + 1}\right)^\theta

    for a row of batch b, where :math:`O_{kb}` rows of the batch are in the cluster, and :math:`E_{kb}` would be if the
    batch took part in all clusters alike. A twentieth of the rows at a time is assigned to the others. Then a ridge
    regression in each cluster, of the rows on their batch with the penalty :math:`\alpha E_{kb}`, gives an offset
    :math:`W_{kb}` for each batch, and a row moves by :math:`-\sum_k R_{ki} W_{kb}`. Both are repeated, always from the
    rows as they were given, until the objective lowers by less than the tolerance.

    Held are one n x d table in single precision, which becomes the result, and sums of clusters x batches x d;
    responsibilities are computed again where they are needed. The rows as they were given are read in blocks.

    Parameters
    ----------
    n_clusters
        Clusters; one for 30 rows and at most 100, when None.
    theta
        Weight of the diversity of batches in a cluster; 0 assigns rows by distance alone.
    max_iter
        Corrections at most.
    tolerance
        Stop when the objective lowers by less than this part of itself.
    seed
        Seed of the initial clusters and of the order in which rows are assigned.

    Attributes
    ----------
    embedding_
        Corrected rows, n x d float32.
    sizes_
        Sum of the responsibilities of each cluster, K float64.
    sums_
        Sum of the corrected rows of each cluster, weighted by responsibility, K x d float64.
    objective_
        Objective after the initialisation and before each correction, for each row.
    n_iter_
        Number of corrections.
    converged_
        Whether the tolerance was met.

    References
    ----------
    Korsunsky et al., Fast, sensitive and accurate integration of single-cell data with Harmony (2019),
    doi:10.1038/s41592-019-0619-0. The penalties of batch and ridge are those of its second version, Patikas et al.
    (2026), doi:10.64898/2026.03.16.711825.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> batch, kind = np.arange(300) % 2, np.arange(300) // 2 % 2
    >>> X = 6 * np.eye(2, 5)[kind] + 3 * np.eye(2, 5)[batch][:, ::-1] + rng.normal(size=(300, 5))
    >>> Z = Harmony().fit_transform(X, batch)
    >>> [round(float(np.linalg.norm(T[batch == 0].mean(0) - T[batch == 1].mean(0))), 1) for T in (X, Z)]
    [4.2, 0.7]
    """

    embedding_: Array
    sizes_: Array
    sums_: Array
    objective_: Array
    n_iter_: int
    converged_: bool

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        theta: float = 2.0,
        max_iter: int = 30,
        tolerance: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.n_clusters, self.theta, self.max_iter = n_clusters, theta, max_iter
        self.tolerance, self.seed = tolerance, seed

    def fit(self, X: Any, codes: Array, execution: Execution | None = None) -> Self:
        """Correct the rows of a table.

        Parameters
        ----------
        X
            n x d dense array or dense row blocks. Blocks are read once for the start and twice for each correction.
        codes
            Batch of each row from 0, n integers.
        execution
            Memory and threads; the work is done on threads of this process whatever the executor.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X is sparse or holds NaN or infinity, or codes are not one for each row, or
            name one batch only.
        """
        blocks = as_blocks(X)
        execution = replace(Execution() if execution is None else execution, executor=None)
        check(not blocks.is_sparse, "X must be dense, got a sparse table: reduce it first, by PCA for example")
        n = blocks.shape[0]
        check(n >= 2 and blocks.shape[1] >= 1, f"X must have at least 2 rows and a column, got {blocks.shape}")
        check_range("max_iter", self.max_iter, 1, 1000)
        check_range("tolerance", self.tolerance, 0.0, 1.0)
        check_range("theta", self.theta, 0.0, 10.0)
        n_clusters = self.n_clusters
        if n_clusters is None:
            n_clusters = usual_clusters(n)
        check_range("n_clusters", n_clusters, 1, n)
        batches, n_batches = _checked_batches(codes, n)
        with single_threaded():  # the tiles are the parallelism, and the sums keep their order
            values = read_unit_rows(blocks, execution)
            centers = KMeans(n_clusters, max_iter=0, n_starts=5, seed=self.seed).fit(values, execution).cluster_centers_
            rows = PartedRows(values, batches, n_batches, np.random.default_rng(self.seed))
            state = Assignment(rows, centers, self.theta, execution)
            state.start()
            objective = [state.objective()]
            for n_iter in range(1, self.max_iter + 1):
                for _ in range(ROUNDS):
                    state.advance()
                objective.append(state.objective())
                self.converged_ = objective[-2] - objective[-1] < self.tolerance * abs(objective[-2])
                offsets, expected = state.regress(blocks)
                if self.converged_ or n_iter == self.max_iter:
                    self.sizes_, self.sums_ = state.finish(blocks, offsets)
                    break
                state = state.corrected(blocks, offsets, expected)
        self.embedding_, self.objective_, self.n_iter_ = values, np.array(objective), len(objective) - 1
        return self

    def fit_transform(self, X: Any, codes: Array, execution: Execution | None = None) -> Array:
        """Correct the rows of a table, and return them: n x d float32."""
        return self.fit(X, codes, execution).embedding_


def usual_clusters(n: int) -> int:
    """Choose the number of clusters for n rows.

    Examples
    --------
    >>> usual_clusters(10), usual_clusters(600), usual_clusters(10**6)
    (1, 20, 100)
    """
    return max(1, min(n // ROWS_OF_A_CLUSTER, MOST_CLUSTERS))


def _checked_batches(codes: Any, n: int) -> tuple[Array, int]:
    """Check the batches of rows; return them as int32, and how many there are."""
    batches = as_numbers(codes, "codes")
    right = batches.shape == (n,) and batches.dtype.kind in "iu"
    check(right, f"codes must hold {n} integers, one for each row, got {batches.dtype} {batches.shape}")
    check(int(batches.min()) >= 0, f"codes must be batches from 0, got {batches.min()}")
    sizes = np.bincount(batches)
    check(len(sizes) >= 2 and bool(sizes.all()), f"codes must name two batches or more, each with a row, got {sizes}")
    return batches.astype(np.int32), len(sizes)
