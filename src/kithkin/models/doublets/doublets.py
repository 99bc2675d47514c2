"""Doublets: two cells that were counted as one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, SparseRows, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.doublets.calibration import best_threshold, share_of_doublets
from kithkin.models.doublets.reference import N_SIMULATED, Reference, take_rows
from kithkin.models.doublets.simulation import N_COMPARED, scrublet_score, simulated_shares
from kithkin.models.estimator import Estimator
from kithkin.models.mixture.pairs import GroupPairs
from kithkin.models.table.normalize import known_totals

METHODS = ("simulate", "mixture")
FEWEST_CELLS = 30  # of a sample in which doublets can be told
FEWEST_OF_GROUP = 5  # singlets of a group that a doublet may be made of
BATCH = 2**22  # stored values of the cells whose likelihoods are computed at a time
RATES = (1e-3, 0.5)  # range of the share of doublets


class Doublets(Estimator):
    r"""Doublets of one sample: cells that look like the sum of two cells of the sample.

    Doublets are simulated by adding the counts of two cells at random. `simulate` is Scrublet: a cell scores by the
    share of simulated doublets among its nearest neighbours, in principal components of the log-normalised variable
    genes. The logarithm of the counts is one more coordinate, as doublets have more counts. `mixture` compares models:
    groups of the cells have a negative binomial for each gene, and the likelihood of the counts of a cell, and of their
    number, as a sum of two cells is set against that as one cell.

    Both score all cells against a reference of `n_sample` cells of the sample and twice as many simulated doublets, so
    that time and memory grow with the cells and not with their square. The share of doublets is estimated: it is the
    largest that the scores of the cells allow, given those of simulated doublets. A cell is called from that score on
    at which true calls exceed false ones by most.

    Parameters
    ----------
    method
        "simulate" or "mixture".
    rate
        Share of doublets where it is known, 0.001 to 0.5; None estimates it.
    n_genes
        Number of variable genes.
    n_sample
        Cells that all are compared with; of a smaller sample all.
    seed
        Seed of the reference and of the simulated doublets.

    Attributes
    ----------
    scores_
        Scrublet's score, 0 to 1 (`simulate`), or log10 of the ratio of likelihoods (`mixture`), n float64.
    is_doublet_
        Whether a cell is called, n booleans.
    parents_
        The two groups that a called cell is likeliest made of, n x 2 int32, the lower one first; -1 of others.
    rate_, threshold_, detectable_
        Share of doublets, score from which cells are called, and share of all doublets that reach it.
    labels_
        Group of each cell of the reference, as given or as found, int32; `reference_` has their positions.
    markers_
        For each group the column whose log mean exceeds that of all other groups by most, K.

    References
    ----------
    Wolock, Lopez and Klein, Scrublet: computational identification of cell doublets in single-cell transcriptomic data
    (2019), doi:10.1016/j.cels.2018.11.005.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = rng.gamma(0.3, 3.0, (3, 200))
    >>> cells = rng.poisson(means[np.repeat([0, 1, 2], 100)])
    >>> pairs = cells[:15] + cells[150:165], cells[100:105] + cells[280:285]
    >>> model = Doublets(seed=0).fit(np.vstack([cells, *pairs]))
    >>> int(model.is_doublet_[:300].sum()), bool(np.median(model.scores_[300:]) > model.scores_[:300].max())
    (0, True)
    """

    scores_: Array
    is_doublet_: Array
    parents_: Array
    rate_: float
    threshold_: float
    detectable_: float
    labels_: Array
    reference_: Array
    markers_: Array

    def __init__(
        self,
        method: str = "simulate",
        *,
        rate: float | None = None,
        n_genes: int = 2000,
        n_sample: int = 8000,
        seed: int = 0,
    ) -> None:
        self.method, self.rate, self.n_genes, self.n_sample, self.seed = method, rate, n_genes, n_sample, seed

    def fit(
        self, X: Any, labels: Array | None = None, totals: Array | None = None, execution: Execution | None = None
    ) -> Self:
        """Score the cells of a sample.

        Parameters
        ----------
        X
            Counts of the cells of one sample, n x p: array, SciPy sparse matrix or row blocks.
        labels
            Group of each cell, n integers from 0, negative for none, of which doublets are made; they are found in the
            cells when None.
        totals
            Counts of each cell over all genes, n; a pass takes them when None.
        execution
            Memory and threads.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X does not hold counts, or there are fewer than 30 cells.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        n = blocks.shape[0]
        check_choice("method", self.method, METHODS)
        check(n >= FEWEST_CELLS, f"X must have at least {FEWEST_CELLS} cells of a sample, got {n}")
        check_range("n_genes", self.n_genes, 2, 10**6)
        check_range("n_sample", self.n_sample, FEWEST_CELLS, 10**6)
        if self.rate is not None:
            check_range("rate", self.rate, *RATES)
        totals = known_totals(blocks, totals, execution)
        reference = Reference.of(blocks, totals, self.n_genes, self.n_sample, self.seed, execution)
        shares, simulated = simulated_shares(reference, self.seed, execution)
        self.reference_ = reference.chosen
        self._calibrate(shares, simulated)
        self._find_groups(reference, labels, execution)
        if self.method == "mixture":
            self._compare(reference, execution)
        else:
            threshold = scrublet_score(np.array([self.threshold_]), self.rate_, N_SIMULATED)
            self.scores_, self.threshold_ = scrublet_score(shares, self.rate_, N_SIMULATED), float(threshold[0])
            self.parents_ = self._parents_of_called(reference, execution)
        return self

    def _calibrate(self, cells: Array, simulated: Array) -> None:
        """Estimate the share of doublets, and call cells."""
        rate = share_of_doublets(cells, simulated) if self.rate is None else self.rate
        self.rate_ = float(np.clip(rate, *RATES))
        self._call(cells, simulated)

    def _call(self, cells: Array, simulated: Array) -> None:
        """Choose the threshold, and call the cells that reach it."""
        self.threshold_, self.detectable_ = best_threshold(cells, simulated, self.rate_)
        self.is_doublet_ = cells >= self.threshold_

    def _find_groups(self, reference: Reference, labels: Array | None, execution: Execution) -> None:
        """Fit the groups that doublets are made of to the cells of the reference that are none themselves."""
        if labels is None:
            found = reference.find_groups(self.seed, execution)
        else:
            given = np.asarray(labels)
            right = given.shape == (len(reference.points),) and given.dtype.kind in "iu"
            check(right, f"labels must be {len(reference.points)} integers, got {given.dtype} of shape {given.shape}")
            found = given[reference.chosen].astype(np.int32)
        self.labels_ = found
        singlet = ~self.is_doublet_[reference.chosen] & (found >= 0)
        size = np.bincount(found[singlet], minlength=int(found.max(initial=0)) + 1)
        of_all = np.bincount(found[found >= 0], minlength=len(size))
        # a group of doublets explains doublets as single cells
        kept = np.flatnonzero((size >= FEWEST_OF_GROUP) & (2 * size > of_all))
        kept = kept if len(kept) else np.array([int(size.argmax())])
        check(size[kept[0]] > 0, "labels must name groups of the cells, but none of the reference is in one")
        code = np.full(len(size), -1)
        code[kept] = np.arange(len(kept))
        rows = np.flatnonzero(singlet & (code[found] >= 0))
        self._kept, n_groups = kept, len(size)
        self._model = GroupPairs.fit(reference.rows[rows], reference.own[rows], code[found[rows]], execution)
        self.markers_ = np.full(n_groups, -1, np.int64)
        self.markers_[kept] = reference.genes[distinct_columns(self._model.mean)]

    def _compare(self, reference: Reference, execution: Execution) -> None:
        """Score by the ratio of the likelihoods of two cells and one."""
        rate, parts, row = self.rate_, list[tuple[Array, Array, Array]](), 0
        for rows in batches(reference, execution):
            own = reference.totals[row : row + rows.shape[0]]
            parts.append(self._model.scores(rows, own, rate, execution))
            row += rows.shape[0]
        ratios, first, second = (np.concatenate(some) for some in zip(*parts, strict=True))
        singlet = ~self.is_doublet_[reference.chosen][reference.parents].any(axis=0)  # sums of three score higher
        some = np.flatnonzero(singlet)[:N_COMPARED]
        doublets, totals = reference.doublets(some), reference.own[reference.parents[:, some]].sum(axis=0)
        simulated = self._model.scores(doublets, totals, rate, execution)[0]
        self.scores_ = ratios / np.log(10)
        self._call(self.scores_, simulated / np.log(10))
        called = self.is_doublet_[:, None]
        self.parents_ = np.where(called, self._kept[np.stack([first, second], axis=1)], -1).astype(np.int32)

    def _parents_of_called(self, reference: Reference, execution: Execution) -> Array:
        """Find the likeliest two groups of the cells that are called."""
        called = np.flatnonzero(self.is_doublet_)
        parents = np.full((len(self.is_doublet_), 2), -1, np.int32)
        if len(called):
            work = partial(take_rows, chosen=called)
            rows = SparseRows.stack([*map_blocks(work, reference.blocks, execution, "doublets: parents")])
            _, *two = self._model.scores(rows, reference.totals[called], self.rate_, execution)
            parents[called] = self._kept[np.stack(two, axis=1)]
        return parents


def batches(reference: Reference, execution: Execution) -> Iterator[SparseRows]:
    """Read all rows in the variable genes, so many at a time that tables of likelihoods are made for few batches."""
    waiting, stored = list[SparseRows](), 0
    work = partial(take_rows, chosen=np.arange(reference.blocks.shape[0]))
    for rows in map_blocks(work, reference.blocks, execution, "doublets: likelihood"):
        waiting.append(rows)
        stored += len(rows.data)
        if stored >= BATCH:
            yield SparseRows.stack(waiting)
            waiting, stored = [], 0
    if waiting:
        yield SparseRows.stack(waiting)


def distinct_columns(mean: Array) -> Array:
    """Return for each group the column whose log mean exceeds the highest of all other groups by most.

    Examples
    --------
    >>> distinct_columns(np.array([[5.0, 1.0, 1.0], [1.0, 9.0, 2.0]])).tolist()
    [0, 1]
    """
    logs = np.log(mean + mean.mean())
    order = np.sort(logs, axis=0)
    others = np.where(logs == order[-1], order[-2], order[-1]) if len(logs) > 1 else np.zeros(logs.shape)
    best: Array = (logs - others).argmax(axis=1)
    return best
