"""Support of the splits of a partition of values, by a gap between rows that did not draw the line."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from scipy.spatial.distance import cdist

from kithkin.core.blocks import Array, Block, Blocks, SparseRows, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.support.dip_test import dip_test
from kithkin.models.support.discriminant import learn_discriminant
from kithkin.models.support.group_tree import SIGNIFICANT, closed, join, links_between, members_of, numbered
from kithkin.models.support.halves import quarters_of, sampled

MOST_COLUMNS = 1000  # whose covariances are held
MOST_VALUES = 5_000_000  # of the rows of the sample together, whatever the budget: 40 MB


class ValueSupport(Estimator):
    r"""Splits between groups of rows with a gap between them, and the partition that is left without the others.

    Groups that were found in values lie apart in these values, also where they are parts of one cloud. A cloud has no
    gap. For each node :math:`A | B` of the tree above the groups, the two groups that border most across it are taken:
    a of A and b of B, by the links of a graph, else by the distance of their means. So two clouds are told apart that
    have several groups each, and a ring or a bent cloud is not, whose far ends lie apart.

    The rows are divided into two folds at random. One fold gives the linear discriminant between a and b, with a
    covariance that is drawn towards a multiple of the identity (Ledoit and Wolf), a half-space of the sides of a and b
    for each other group, and a window along the discriminant with as many rows on either side. All rows of the other
    fold that lie in these half-spaces and the window take part, whichever group they were given, and are projected. A
    region that half-spaces make is convex, and the density on a line of any log-concave density (normal of any
    covariance, uniform on any convex body) in a convex region is log-concave, so has one mode (Prékopa 1973). The dip
    test of Hartigan and Hartigan asks for two; its p, against the uniform distribution, is too large for any other with
    one mode.

    The p of both folds are joined by Fisher's method, and adjusted by the number of splits (Bonferroni). A node is
    closed, and its groups are one group in `labels_`, where neither its split nor one below it is supported. The groups
    were found in the rows of both folds, and shape the regions, so that p is somewhat too small: in squares of 300
    uniform rows 3 of 60 partitions kept a split at 0.01.

    It can not say that two groups are one kind: two that overlap so much that no gap is left between them are not
    supported. Columns of a few values, such as 0 and 1, have a mode at each of them. A gap that is no plane may not be
    seen. Far outliers and heavy tails were tried (Student's t) and not found to make gaps, but no theorem says so.

    Parameters
    ----------
    n_sample
        Rows, drawn from all without regard to groups, that take part at most; fewer where they have more than 5,000,000
        values.
    seed
        Seed of the folds and the sample.

    Attributes
    ----------
    children_
        int64 (k - 1) x 2: the two that each node joins, groups from 0 or k + an earlier node.
    pairs_
        int64 (k - 1) x 2: the groups that border most across each split.
    dips_
        Mean of the dips of the two folds, k - 1, from 0 (a mode) to 0.25 (two points).
    pvals_, pvals_adj_
        p of each split, and adjusted.
    accuracy_
        Balanced accuracy with which the discriminant tells the groups of a pair apart in the other fold, 0.5..1.
    n_cells_
        Rows that took part.
    supported_
        bool k - 1.
    labels_
        int32 n: groups that are left, numbered by the first group in each; -1 where a row has no group.

    References
    ----------
    Hartigan and Hartigan 1985, doi:10.1214/aos/1176346577. Prékopa 1973, Acta Scientiarum Mathematicarum 34, 335-343.
    Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kinds = np.repeat([0, 1], 300)
    >>> X = rng.normal(size=(600, 3)) + 5 * kinds[:, None]
    >>> groups = 2 * kinds + (X[:, 1] > 5 * kinds)  # each cloud cut in two
    >>> model = ValueSupport().fit(X, groups)
    >>> np.unique(model.labels_[kinds == 0]).tolist(), np.unique(model.labels_[kinds == 1]).tolist()
    ([0], [1])
    >>> model.supported_.tolist()
    [False, False, True]
    """

    children_: Array
    pairs_: Array
    dips_: Array
    pvals_: Array
    pvals_adj_: Array
    accuracy_: Array
    n_cells_: Array
    supported_: Array
    labels_: Array

    def __init__(self, *, n_sample: int = 100_000, seed: int = 0) -> None:
        self.n_sample, self.seed = n_sample, seed

    def fit(self, X: Any, groups: Any, graph: Any = None, execution: Execution | None = None) -> Self:
        """Test the splits of the tree above groups.

        Parameters
        ----------
        X
            n x p finite values: array, SciPy sparse matrix or row blocks, of at most 1,000 columns.
        groups
            Group of each row: n integers from 0; negative: in no group, but on the map.
        graph
            n x n symmetric weights, by whose links groups are joined to a tree, as `plot.cluster_tree` does.
            Without it they are joined by their means (Ward's method on columns of one variance).
        execution
            Memory and threads.

        Raises
        ------
        ParameterError
            If there is not one group for each row, no row is in a group, or X has too many columns, or values that are
            missing or infinite.
        """
        execution = Execution() if execution is None else execution
        check_range("n_sample", self.n_sample, 100, 10**9)
        blocks = as_blocks(X)
        n, p = blocks.shape
        check(p > 0, "X must have at least one column, got none")
        check(p <= MOST_COLUMNS, f"support of values takes at most {MOST_COLUMNS:,} columns, got {p:,}: use components")
        codes, k = numbered(groups, n)
        chosen = sampled(n, min(self.n_sample, MOST_VALUES // p), self.seed)
        rows = held(blocks, chosen, execution)
        folds, own = quarters_of(n, self.seed)[chosen] // 2, codes[chosen]
        weights = None if graph is None else links_between(graph, codes, execution)
        centres = means_of(rows, own, k)
        self.children_ = join(np.nan_to_num(centres), codes, weights)
        members = members_of(self.children_, k)
        self.pairs_ = bordering(members, centres, weights)
        parts = [(rows[folds == fold], own[folds == fold]) for fold in range(2)]
        self.pvals_, self.dips_, self.accuracy_, self.n_cells_ = pair_tests(parts, self.pairs_, k)
        self.pvals_adj_ = np.minimum(self.pvals_ * len(members), 1.0)
        self.supported_ = self.pvals_adj_ <= SIGNIFICANT
        self.labels_ = closed(self.children_, self.supported_, k)[codes]
        self.labels_[codes < 0] = -1
        return self


def pair_tests(folds: list[tuple[Array, Array]], pairs: Array, k: int) -> tuple[Array, Array, Array, Array]:
    """Return p, dip, accuracy and number of rows of each pair of groups. folds: rows and groups of each fold."""
    m = len(pairs)
    p, dips = np.ones((2, m)), np.zeros((2, m))
    n_cells, accuracy = np.zeros(m, np.int64), np.full(m, 0.5)
    means = [means_of(rows, codes, k) for rows, codes in folds]
    for split, pair in enumerate(pairs.tolist()):
        right: list[list[Array]] = [[], []]  # rows of each group, whether on its side
        for fold, (rows, codes) in enumerate(folds):
            learnt = learn_discriminant(*folds[1 - fold], means[1 - fold], tuple(pair))
            if learnt is None:
                continue
            z = learnt.projections(rows)
            dips[fold, split], p[fold, split] = dip_test(z)
            n_cells[split] += len(z)
            for side in range(2):
                right[side].append((learnt.project(rows[codes == pair[side]]) > 0) == (side == 0))
        if all(right) and all(len(np.concatenate(side)) for side in right):
            shares = [float(np.concatenate(side).mean()) for side in right]
            accuracy[split] = max(0.5, sum(shares) / 2)
    product = np.maximum(p.prod(axis=0), 1e-300)
    return product * (1 - np.log(product)), dips.mean(axis=0), accuracy, n_cells  # Fisher's method, for two p


def held(blocks: Blocks, chosen: Array, execution: Execution) -> Array:
    """Hold the sampled rows, r x p float64, with columns of mean 0 and variance 1 (constant ones: 0).

    Raises ParameterError if a value is missing or infinite.
    """
    parts = list(map_blocks(partial(taken, chosen=chosen), blocks, execution, "support: sample"))
    rows = np.concatenate(parts)
    check(
        bool(np.isfinite(rows).all()),
        "X must be finite, but it holds NaN or infinity: fill them in first, or test components",
    )
    rows -= rows.mean(axis=0)
    spread = rows.std(axis=0)
    rows /= np.where(spread > 0, spread, 1.0)
    return rows


def taken(block: Block, start: int, chosen: Array) -> Array:
    """Take the sampled rows of a block."""
    rows = np.flatnonzero(chosen[start : start + block.shape[0]])
    part = block.rows(rows).to_scipy().toarray() if isinstance(block, SparseRows) else block[rows]
    return part.astype(np.float64)


def means_of(rows: Array, codes: Array, k: int) -> Array:
    """Return the mean of each group, k x p; NaN without rows."""
    out = np.full((k, rows.shape[1]), np.nan)
    for group in range(k):
        some = rows[codes == group]
        if len(some):
            out[group] = some.mean(axis=0)
    return out


def bordering(members: Array, centres: Array, weights: Array | None) -> Array:
    """Return for each split the groups, one of either side, with the most links between them, or the nearest means.

    members: m x 2 x k. centres: k x p, NaN for groups without a row in the sample. weights: k x k or None.

    >>> members = np.array([[[True, True, False], [False, False, True]]])
    >>> bordering(members, np.array([[0.0], [1.0], [3.0]]), None).tolist()
    [[1, 2]]
    """
    near = -np.nan_to_num(cdist(centres, centres), nan=np.inf)
    found = np.zeros((len(members), 2), np.int64)
    for split, (left, right) in enumerate(members):
        first, second = np.flatnonzero(left), np.flatnonzero(right)
        own = np.ix_(first, second)
        linked = weights is not None and weights[own].max() > 0
        table = weights[own] if weights is not None and linked else near[own]
        i, j = np.unravel_index(table.argmax(), table.shape)
        found[split] = first[i], second[j]
    return found
