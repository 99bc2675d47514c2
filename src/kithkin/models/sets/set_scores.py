"""Scores of sets of genes in each cell: UCell, AUCell, and the mean over that of control genes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range, listed
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.sets.controls import draw_controls, mean_bins
from kithkin.models.sets.scored_blocks import (
    SetMembers,
    column_totals,
    columns_seen,
    mean_scores,
    ordered_rank_scores,
    shared_rank_scores,
)
from kithkin.models.table.normalize import TARGET_SUM, Normalized, known_totals

METHODS = ("ucell", "aucell", "mean")
LAST_RANK = 1500  # of UCell
BEST_FRACTION = 0.05  # of the genes, whose ranks AUCell looks at
TILE = 2**22  # scores that are standardised at a time


class SetScores(Estimator):
    r"""Scores of sets of genes in each cell, from the ranks of the genes within the cell or from their mean.

    "ucell": ranks r from the highest count down, equal counts share their mean rank, and genes without counts and
    ranks beyond `max_rank` m have rank m. A set of n genes scores
    :math:`1 - (\sum_g r_g - n (n + 1) / 2) / (n m - n (n + 1) / 2)`, 0 to 1; genes that are absent from the table have
    rank m. Of a set with genes `against` it, their score is subtracted, and the difference is at least 0.

    "aucell": area under the curve that counts the genes of the set among the first r genes, for r up to `max_rank`,
    over the largest possible, 0 to 1. Ties are broken by one random order of all genes, and genes that no cell has
    are left out; NaN for cells without counts.

    "mean": mean of the normalised values of the set less that of control genes. Genes are cut into bins of about equal
    size by their mean over all cells, and `n_controls` are drawn from each bin in which the set has a gene.

    Scores depend on no other set; those of "ucell" and "aucell" on no other cell.

    Parameters
    ----------
    sets
        Columns of the genes of each set by name, such as {"T": [0, 5]}; -1 stands for a gene that is absent.
    method
        "ucell", "aucell" or "mean".
    against
        Columns of the genes that speak against a set, by its name, for "ucell".
    max_rank
        Rank up to which genes count: 1500 for "ucell", and a twentieth of the genes for "aucell", when None.
    n_bins
        Bins of the mean, for "mean".
    n_controls
        Control genes drawn from a bin at most, for "mean"; genes of the set among them are left out.
    normalize
        "log1p": the mean is of log1p(count * target_sum / total). None: of the values as they are.
    target_sum
        Counts of every cell after scaling, with normalize="log1p".
    seed
        Seed of the controls and of the order that breaks ties.

    Attributes
    ----------
    scores_
        n x sets, float32, in the order of the sets.
    labels_
        Position of the set whose score is the highest once each set is standardised over the cells, n int32; -1 for
        cells without counts, and where no set varies.
    filled_
        Whether a cell has a count, n booleans.
    controls_
        Columns of the control genes of each set, for "mean"; else None.

    References
    ----------
    Andreatta and Carmona 2021, doi:10.1016/j.csbj.2021.06.043 (UCell). Aibar et al. 2017, doi:10.1038/nmeth.4463
    (AUCell). Tirosh et al. 2016, doi:10.1126/science.aad0501 (mean).

    Examples
    --------
    >>> X = np.array([[9, 5, 0, 0], [0, 0, 4, 2]])
    >>> model = SetScores({"a": [0, 1], "b": [2, 3]}, max_rank=4).fit(X)
    >>> model.scores_.tolist(), model.labels_.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    """

    scores_: Array
    labels_: Array
    filled_: Array
    controls_: dict[str, Array] | None

    def __init__(
        self,
        sets: Mapping[str, Any] | None = None,
        method: str = "ucell",
        *,
        against: Mapping[str, Any] | None = None,
        max_rank: int | None = None,
        n_bins: int = 25,
        n_controls: int = 50,
        normalize: str | None = "log1p",
        target_sum: float = TARGET_SUM,
        seed: int = 0,
    ) -> None:
        self.sets, self.method, self.against, self.max_rank = sets, method, against, max_rank
        self.n_bins, self.n_controls, self.normalize = n_bins, n_controls, normalize
        self.target_sum, self.seed = target_sum, seed

    def fit(self, X: Any, totals: Array | None = None, execution: Execution | None = None) -> Self:
        """Score every cell.

        Parameters
        ----------
        X
            Cells x genes: array, SciPy sparse matrix or row blocks. For "ucell" and "aucell" counts or values that
            follow their order in a cell.
        totals
            Counts of each cell over all genes, n, for "mean" with normalize="log1p"; from a pass when None.
        execution
            Memory, threads and executor.

        Raises
        ------
        ParameterError
            If a setting is out of range or does not fit the method, a set has no gene of the table or more than
            max_rank, no gene is left as a control, the scores do not fit the budget, or X holds negative values
            (but for "mean" without normalisation), NaN or infinity.
        """
        blocks, execution = as_blocks(X), Execution() if execution is None else execution
        check_choice("method", self.method, METHODS)
        check_choice("normalize", self.normalize, ("log1p", None))
        check_range("n_bins", self.n_bins, 2, 10_000)
        check_range("n_controls", self.n_controls, 1, 10**6)
        check_range("target_sum", self.target_sum, 1e-6, 1e12)
        n, p = blocks.shape
        if self.max_rank is not None:
            check(self.method != "mean", "max_rank has no effect with method='mean'")
            check_range("max_rank", self.max_rank, 2, 10**9)
        sets = _columns_of(self.sets, p, "sets")
        against = _columns_of({} if self.against is None else self.against, p, "against", sets)
        check(not against or self.method == "ucell", f"against needs method='ucell', got {self.method!r}")
        size = 4 * n * len(sets)
        fits = f"sets must have scores that fit the memory of {execution.memory:,} bytes, but {len(sets):,} sets of "
        check(size <= execution.memory, f"{fits}{n:,} cells take {size:,}: score some of them at a time")
        self.controls_ = None
        score = {"ucell": self._shared_ranks, "aucell": self._ordered_ranks, "mean": self._means}[self.method]
        work = score(blocks, sets, against, totals, execution)
        self.scores_, self.filled_ = np.empty((n, len(sets)), np.float32), np.empty(n, bool)
        first = 0
        for part, known in map_blocks(work, blocks, execution, "scores"):
            last = first + len(part)
            self.scores_[first:last], self.filled_[first:last] = part, known
            first = last
        self.labels_ = highest(self.scores_, self.filled_)
        return self

    def _shared_ranks(
        self, blocks: Blocks, sets: dict[str, Array], against: dict[str, Array], _totals: Any, _execution: Execution
    ) -> partial[tuple[Array, Array]]:
        """Prepare UCell."""
        last = LAST_RANK if self.max_rank is None else int(self.max_rank)
        signed = [*sets.items(), *against.items()]
        longest = max(len(columns) for _, columns in signed)
        check_range("max_rank", last, 2, max(blocks.shape[1], longest, LAST_RANK))
        large = next(((name, len(columns)) for name, columns in signed if len(columns) > last), ("", 0))
        check(
            not large[1], f"max_rank must be at least {large[1]:,}, the number of genes of {large[0]!r}, got {last:,}"
        )
        size = np.array([len(columns) for _, columns in signed], np.float64)
        most = size * last - size * (size + 1) / 2
        place = [list(sets).index(name) for name in against]
        members = SetMembers.of([columns[columns >= 0] for _, columns in signed], blocks.shape[1])
        return partial(shared_rank_scores, members=members, last_rank=last, most=most, subtracted=np.array(place, int))

    def _ordered_ranks(
        self, blocks: Blocks, sets: dict[str, Array], _against: Any, _totals: Any, execution: Execution
    ) -> partial[tuple[Array, Array]]:
        """Prepare AUCell: an order of the genes that some cell has."""
        there = np.zeros(blocks.shape[1], bool)
        for seen in map_blocks(columns_seen, blocks, execution, "genes"):
            there |= seen
        seen = np.flatnonzero(there)
        check(len(seen) >= 2, f"method='aucell' needs at least 2 genes with counts, got {len(seen)}")
        order = np.random.default_rng(self.seed).choice(seen, len(seen), replace=False)
        place = np.full(blocks.shape[1], -1, np.int64)
        place[order] = np.arange(len(order))
        last = max(2, int(np.ceil(BEST_FRACTION * len(seen))))
        if self.max_rank is not None:
            check_range("max_rank", self.max_rank, 2, len(seen))
            last = int(self.max_rank)
        placed = [place[columns[columns >= 0]] for columns in sets.values()]
        placed = [places[places >= 0] for places in placed]
        full = np.array([min(len(places), last - 1) for places in placed], np.float64)
        most = full * last - full * (full + 1) / 2
        return partial(
            ordered_rank_scores, members=SetMembers.of(placed, len(order)), place=place, last_rank=last, most=most
        )

    def _means(
        self, blocks: Blocks, sets: dict[str, Array], _against: Any, totals: Array | None, execution: Execution
    ) -> partial[tuple[Array, Array]]:
        """Prepare means over controls: choose these by the means of the genes over all cells."""
        known = None if self.normalize is None else known_totals(blocks, totals, execution)
        divisors = Normalized(blocks, self.normalize, totals=known, target_sum=self.target_sum).divisors
        sums = np.zeros(blocks.shape[1])
        for part in map_blocks(partial(column_totals, divisors=divisors), blocks, execution, "means"):
            sums += part
        bins = mean_bins(sums / blocks.shape[0], self.n_bins)
        present = {name: columns[columns >= 0] for name, columns in sets.items()}
        self.controls_ = {
            name: draw_controls(bins, columns, self.n_controls, self.seed) for name, columns in present.items()
        }
        alone = [name for name, controls in self.controls_.items() if not len(controls)]
        advice = "name fewer genes in a set, or use method='ucell'"
        check(not alone, f"no gene is left to compare {listed(alone)} with by method='mean': {advice}")
        both = zip(present.values(), self.controls_.values(), strict=True)
        pairs = [(np.append(own, other), np.repeat([1 / len(own), -1 / len(other)], [len(own), len(other)]))
                 for own, other in both]  # fmt: skip
        members = SetMembers.of([columns for columns, _ in pairs], blocks.shape[1], [w for _, w in pairs])
        return partial(mean_scores, members=members, divisors=divisors, n_sets=len(pairs))


def _columns_of(sets: Any, p: int, name: str, known: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Check the columns of sets: whole numbers below p, each once; -1 may come more often."""
    is_map = isinstance(sets, Mapping) and (len(sets) > 0 or known is not None)
    check(is_map, f"{name} must map the name of each set to its columns, such as {{'T': [0, 5]}}, got {sets!r}")
    out = {}
    for one, given in sets.items():
        check(known is None or one in known, f"{name} must name some of the sets, got {one!r}")
        columns = np.asarray(given)
        whole = columns.ndim == 1 and columns.dtype.kind in "iu" and len(columns) > 0
        inside = bool(whole and columns.min() >= -1 and columns.max() < p)
        check(inside, f"{name}[{one!r}] must be columns in 0..{p - 1}, or -1 for genes that are absent, got {given!r}")
        there = columns[columns >= 0]
        check(len(there) > 0 or known is not None, f"{name}[{one!r}] has no gene of the table")
        check(len(np.unique(there)) == len(there), f"{name}[{one!r}] names a column twice")
        out[str(one)] = columns.astype(np.int64)
    return out


def highest(scores: Array, filled: Array) -> Array:
    """Find the set with the highest score in each row after each is standardised over the rows, n int32.

    -1 for rows that are not filled, and where no set varies.

    >>> scores = np.array([[0.9, 0.2], [0.8, 0.1], [0.7, 0.0], [0.8, 0.3]])
    >>> highest(scores, np.array([True, True, False, True])).tolist()
    [0, 0, -1, 1]
    """
    n, k = scores.shape
    labels = np.full(n, -1, np.int32)
    rows = np.flatnonzero(filled)
    mean = np.array([scores[rows, j].mean(dtype=np.float64) for j in range(k)]) if len(rows) else np.zeros(k)
    deviation = np.array([scores[rows, j].std(dtype=np.float64) for j in range(k)]) if len(rows) else np.zeros(k)
    varies = deviation > 1e-9 * np.maximum(1.0, np.abs(mean))
    if not varies.any():
        return labels
    sets = np.flatnonzero(varies)
    step = max(1, TILE // k)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        standard = (scores[some][:, sets] - mean[sets]) / deviation[sets]
        labels[some] = sets[standard.argmax(axis=1)]
    return labels
