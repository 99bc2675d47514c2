"""Recall of clusters on held-out cells, by each modality of the cells alone and by all together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, InMemory, as_blocks, as_numbers
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.images.numbers import PictureNumbers
from kithkin.models.support.faces.discriminant import Sums, count_scores, table_scores
from kithkin.models.support.faces.folds import QUARTERS, Folds
from kithkin.models.support.faces.logistic import Logistic, calls
from kithkin.models.support.faces.neighborhoods import neighbor_scores
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.normalize import known_totals

KINDS = ("table", "counts", "images", "graph")
FEWEST = 8  # cells of a cluster that is judged: two in each quarter
HELD = 4  # the numbers of all thumbnails are held where they take no more than this part of the budget


@dataclass(frozen=True)
class Face:
    """One modality of the cells.

    Attributes
    ----------
    X
        n x p numbers; thumbnails, n x channels x rows x columns; or n x n weights of links. An array, a SciPy sparse
        matrix or row blocks.
    kind
        "table": columns as they are. "counts": log1p(10,000 count / total). "images": a few hundred numbers of each
        thumbnail. "graph": clusters of the neighbours.
    totals
        Counts of each cell, n, where kind is "counts"; by default the sums of the rows.
    masks
        Pixels that belong to each cell, n x rows x columns, where kind is "images"; by default all.

    Examples
    --------
    >>> Face(np.eye(3), "counts").kind
    'counts'
    """

    X: Any
    kind: str = "table"
    totals: Any = None
    masks: Any = None


class Faces(Estimator):
    r"""Recall of clusters on held-out cells, by each modality of the cells alone and by all together.

    The cells of each cluster are dealt out to four quarters. Each quarter is called by what the other three teach, so
    that every cell is held out once. A wide modality is first brought to K scores by linear discriminants,

    .. math:: s_k = (m_k - \bar m)^\top \Sigma^{-1} x,

    with the means m of the clusters and their pooled covariance, shrunken to its diagonal by p / (p + n). Above 640
    columns it is the diagonal, and a difference d with the standard error e is shrunken to d max(0, 1 - 2 e^2 / d^2).
    Counts have K more scores, their sums weighted by the log ratio of each gene's share in the cluster to its usual
    share, over the ratio of variance to mean. Discriminants of two quarters score the third and the one that is tested;
    a multinomial logistic regression on such scores of three quarters and their squares (stacking) calls the fourth.
    Up to 24 columns are taken without discriminants. Of a graph the regression sees sums and shares of the neighbours
    in each cluster, those of the tested quarter hidden. All together are the scores of all modalities in one
    regression.

    Each cluster weighs the same in the regressions, so that chance is 1 / K whatever its size. Clusters that a modality
    does not tell apart, by a test of its log odds, share their cells evenly. Shares come near those of the best rule
    where the logarithms of odds are quadratic in the scores; other structure is seen in part. That a modality shaped
    the clusters is not taken out: components of all cells know the cells that are held out.

    Parameters
    ----------
    n_sample
        Cells that are used at most, from each cluster as many if it has them.
    seed
        Seed of the sample and the quarters.

    Attributes
    ----------
    shares_
        K x (modalities + 1): recall of each cluster, all together last; NaN for clusters of fewer than 8 cells.
    low_, high_
        Likewise: Wilson's interval of 95 % for the number of cells of the cluster.
    n_cells_
        Cells of each cluster that were called, K.
    calls_
        (modalities + 1) x K x K: calls of the cells of each cluster (rows); a cell that is shared counts in parts.
    effects_, means_, rests_
        Of each modality: difference between each cluster and the rest in standard deviations within clusters, two
        standard errors taken off; mean of the cluster; mean of the rest; K x p, or K x K of a graph.
    rows_
        Cells that were called, ascending.
    certainty_
        len(rows_) x (modalities + 1), float32: probability of the own cluster of each cell.

    References
    ----------
    Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1 (stacking). Tibshirani et al. 2002, doi:10.1073/pnas.082099299
    (shrunken differences). Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes = np.repeat([0, 1, 2], 200)
    >>> first, second = rng.normal(size=(2, 600, 3))
    >>> first[codes == 0] += 4  # the first tells 0 from the others, the second 2
    >>> second[codes == 2] += 4
    >>> model = Faces().fit({"a": Face(first), "b": Face(second)}, codes)
    >>> (model.shares_[[0, 2, 1], [0, 1, 2]] > 0.95).tolist(), bool(model.shares_[1, 0] < 0.8)
    ([True, True, True], True)
    """

    shares_: Array
    low_: Array
    high_: Array
    n_cells_: Array
    calls_: Array
    effects_: list[Array]
    means_: list[Array]
    rests_: list[Array]
    rows_: Array
    certainty_: Array

    def __init__(self, *, n_sample: int = 100_000, seed: int = 0) -> None:
        self.n_sample, self.seed = n_sample, seed

    def fit(self, X: Mapping[str, Any], codes: Any, execution: Execution | None = None) -> Self:
        """Call the held-out cells.

        Parameters
        ----------
        X
            Modalities by name, each a Face or a table of numbers.
        codes
            Cluster of each cell, n integers from 0; a cell of a negative one is left out.
        execution
            Memory, threads and executor.

        Raises
        ------
        ParameterError
            If there are fewer than two clusters of eight cells, the shapes do not fit, or values are not finite.
        """
        execution = Execution() if execution is None else execution
        check_range("n_sample", self.n_sample, 100, 10**9)
        faces = {name: one if isinstance(one, Face) else Face(one) for name, one in X.items()}
        check(len(faces) > 0, "X must hold one modality at least, got none")
        codes = as_numbers(codes, "codes")
        check(codes.ndim == 1 and codes.dtype.kind in "iu", "codes must be whole numbers, one for each cell")
        sizes = np.bincount(codes[codes >= 0])
        judged = np.flatnonzero(sizes >= FEWEST)
        check(len(judged) >= 2, f"two clusters of {FEWEST} cells or more are needed, got {len(judged)}")
        number = np.full(len(sizes) + 1, -1)
        number[judged] = np.arange(len(judged))
        labels = number[np.maximum(codes, -1)]
        folds = Folds.draw(labels, len(judged), self.n_sample, self.seed)
        scores, self.effects_, self.means_, self.rests_ = [], [], [], []
        for name, face in faces.items():
            check_choice(f"kind of {name}", face.kind, KINDS)
            found, told = scored(name, face, folds, execution)
            scores.append(found)
            for kept, table in zip((self.effects_, self.means_, self.rests_), told, strict=True):
                everywhere = np.full((len(sizes), table.shape[1]), np.nan, np.float32)
                everywhere[judged] = table
                kept.append(everywhere)
        self.rows_ = folds.rows
        self.judge(scores, [face.kind != "graph" for face in faces.values()], folds, judged, len(sizes))
        return self

    def judge(self, scores: list[Array], squared: list[bool], folds: Folds, judged: Array, n_groups: int) -> None:
        """Call each quarter by the scores of the other three, and keep the shares.

        scores: of each modality, rows x 4 x d; squared: whether their squares take part. judged: the clusters.
        """
        k, m = folds.n_groups, len(scores)
        called, self.certainty_ = np.zeros((m + 1, k, k)), np.empty((len(folds.rows), m + 1), np.float32)
        squares = [np.full(table.shape[2], one) for table, one in zip(scores, squared, strict=True)]
        with single_threaded():
            for face in range(m + 1):
                if face == m == 1:  # together is what the only one says
                    called[1], self.certainty_[:, 1] = called[0], self.certainty_[:, 0]
                    break
                some = slice(face, face + 1) if face < m else slice(None)
                marked = np.concatenate(squares[some])
                for quarter in range(QUARTERS):
                    Z = np.concatenate([table[:, quarter] for table in scores[some]], axis=1, dtype=np.float64)
                    tested = folds.own == quarter
                    model = Logistic.fit(Z[~tested], folds.codes[~tested], k, marked)
                    logs, own = model.log_probabilities(Z[tested]), folds.codes[tested]
                    called[face] += (own == np.arange(k)[:, None]).astype(float) @ calls(logs)
                    self.certainty_[tested, face] = np.exp(logs[np.arange(len(own)), own])
        self.calls_ = np.zeros((m + 1, n_groups, n_groups))
        self.calls_[:, judged[:, None], judged] = called
        self.n_cells_ = np.zeros(n_groups, np.int64)
        self.n_cells_[judged] = np.bincount(folds.codes, minlength=k)
        right = np.diagonal(self.calls_, axis1=1, axis2=2).T
        self.shares_ = np.full((n_groups, m + 1), np.nan)
        self.shares_[judged] = right[judged] / self.n_cells_[judged, None]
        self.low_, self.high_ = wilson(self.shares_, self.n_cells_[:, None])


def wilson(share: Array, n: Array, z: float = 1.959964) -> tuple[Array, Array]:
    """Return Wilson's interval of a share of n.

    >>> [round(float(one), 3) for one in wilson(np.array(0.5), np.array(100))]
    [0.404, 0.596]
    """
    n = np.maximum(n, 1)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def scored(name: str, face: Face, folds: Folds, execution: Execution) -> tuple[Array, tuple[Array, Array, Array]]:
    """Score the sampled cells by a modality: rows x 4 x d; effects, means and means of the rest, K x p each."""
    n = len(folds.labels)
    if face.kind == "images":
        blocks: Blocks = held(PictureNumbers(face.X, face.masks), execution)
    else:
        blocks = as_blocks(face.X)
        check(len(blocks.shape) == 2, f"{name} must be cells x columns, got {' x '.join(map(str, blocks.shape))}")
    check(blocks.shape[0] == n, f"{name} must have {n:,} rows, one for each cell, got {blocks.shape[0]:,}")
    if face.kind == "graph":
        found, shares = neighbor_scores(blocks, folds, execution)
        return found, effects_of_rows(shares, folds)
    check(blocks.shape[1] > 0, f"{name} must have a column at least")
    counted = face.kind == "counts"
    totals = known_totals(blocks, face.totals, execution) if counted else None
    found, sums, scaled = table_scores(blocks, "log1p" if counted else None, totals, folds, execution)
    check(bool(np.isfinite(sums.sums).all()), f"{name} must hold finite numbers, but some are infinite or missing")
    if totals is not None:
        found = np.concatenate([found, count_scores(blocks, totals, folds, execution)], axis=2)
    check(bool(np.isfinite(found).all()), f"{name} must hold finite numbers, but some are too large to be squared")
    effect, mean, rest = sums.effects()
    if scaled is not None:
        middle, scale = scaled
        back = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        mean, rest = middle + mean * back, middle + rest * back
    return found, (effect, mean, rest)


def held(numbers: PictureNumbers, execution: Execution) -> Blocks:
    """Compute the numbers of all thumbnails once where there is room for them; else they are, each time."""
    size = 4 * numbers.shape[0] * numbers.shape[1]
    if size > execution.memory / HELD:
        return numbers
    table = np.empty(numbers.shape, np.float32)
    start = 0
    for part in map_blocks(whole, numbers, execution, "thumbnails"):
        table[start : start + len(part)] = part
        start += len(part)
    return InMemory(table, max(stop - first for first, stop in numbers.ranges))


def whole(block: Array, _start: int) -> Array:
    """Return the block."""
    return block


def effects_of_rows(values: Array, folds: Folds) -> tuple[Array, Array, Array]:
    """Return effects and means of values of the sampled cells, as `Sums.effects` does."""
    k, codes = folds.n_groups, folds.codes
    member = (codes == np.arange(k)[:, None]).astype(float)
    sizes = member.sum(axis=1)[None]
    return Sums(sizes, (member @ values)[None], (values**2).sum(axis=0)[None]).effects()
