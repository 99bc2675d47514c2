"""Scorecard: a rule of a few conditions for each cluster, fitted on a share of the rows and judged on the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Block, ChosenRows, as_blocks, as_numbers
from kithkin.core.errors import check, check_choice, check_range, listed
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.gates.candidates import (
    Candidates,
    candidates_of,
    choose_columns,
    moments_of,
    sampled_values,
    useful,
)
from kithkin.models.gates.card import COUNTS, NONE, PLAIN, Card, Condition, Rule, best_rules
from kithkin.models.gates.points import Points, Training
from kithkin.models.support.halves import SAMPLE, hashed, quarters_of
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.columns import choose
from kithkin.models.table.expression import dense_rows
from kithkin.models.table.normalize import Normalized, known_totals

MOST_CLUSTERS = 200
SAMPLED, EACH = 6_000, 100  # rows that rules are fitted on, and at least so many of each cluster
SIZE, SIZE_EACH, HEAD = 2_000, 150, 60  # bytes of a card, of each rule where there are many, and of its first lines
FEWEST = 4  # rows of a cluster that a rule is fitted on


class Scorecard(Estimator):
    """Rule of a few conditions for each cluster: features above a threshold, or at most that, each with points.

    A rule names a row whose conditions give as many points as it needs; of several the one with the most beyond that.
    Three quarters of the rows, chosen by a hash, teach the rules, and the others judge them. Conditions are those of a
    sparse multinomial logistic regression, rounded to whole points: for each cluster the condition that lowers the
    cross-entropy of all most is added until there are enough; then those that tell least are dropped until the card is
    short. Clusters weigh as the square root of their size. Of a large table 6,000 rows are fitted on; all held-out
    rows judge.

    With normalize="log1p" thresholds are logarithms of counts per 10,000. They lie between the mean levels of clusters,
    not between the values of single cells, so that they carry over to cells that were sequenced more or less deeply;
    and a gene counts only for clusters whose mean level is twice, or half, that of another one.

    Parameters
    ----------
    n_features
        Conditions of a cluster, at most.
    normalize
        "log1p" for counts; None: values as they are.
    size
        Bytes of the card as JSON; by default 2,000, or 150 for each cluster where there are more than 13.
    seed
        Seed of the rows that are held out, and of the sample.

    Attributes
    ----------
    card_
        The rules as a Card.
    precision_, recall_
        Of each cluster on the held-out rows, K float64, NaN where there was none to judge by.
    f1_
        Mean over the clusters of the harmonic mean of both, 0 to 1.

    References
    ----------
    Ustun and Rudin, Supersparse linear integer models for optimized medical scoring systems (2016),
    doi:10.1007/s10994-015-5528-6.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes, X = np.repeat([0, 1], 100), rng.integers(150, 170, (200, 3)).astype(float)
    >>> X[:100, 1] += 30
    >>> model = Scorecard(1).fit(X, codes, names=["weight", "height", "age"], labels=["tall", "small"])
    >>> print(model.card_.text)
    tall: height above 170: all of them; precision 1.00, recall 1.00
    small: height at most 170: all of them; precision 1.00, recall 1.00
    >>> model.predict(X)[[0, 150]].tolist(), model.f1_
    ([0, 1], 1.0)
    """

    card_: Card
    precision_: Array
    recall_: Array
    f1_: float

    def __init__(
        self, n_features: int = 8, *, normalize: str | None = None, size: int | None = None, seed: int = 0
    ) -> None:
        self.n_features, self.normalize, self.size, self.seed = n_features, normalize, size, seed

    def fit(
        self,
        X: Any,
        codes: Any,
        names: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        totals: Array | None = None,
        columns: Array | None = None,
        execution: Execution | None = None,
    ) -> Self:
        """Fit the rules.

        Parameters
        ----------
        X
            n x p, array, SciPy sparse matrix or row blocks. Values that are missing (NaN) are left out of means, and
            are as the median of their column in the fit.
        codes
            Cluster of each row, n integers from 0; rows with a negative one are left out.
        names
            Names of the columns, p; by default their numbers.
        labels
            Names of the clusters; by default their numbers.
        totals
            Total of each row, n, for normalize="log1p"; summed over all columns by default.
        columns
            Mask or positions of the columns that rules may use; all when None.
        execution
            Threads, executor, progress.

        Raises
        ------
        ParameterError
            If fewer than two clusters or more than 200 have rows, no column tells them apart, or shapes do not fit.
        """
        blocks, codes = as_blocks(X), as_numbers(codes, "codes")
        execution = Execution() if execution is None else execution
        (n, p), self._names = blocks.shape, names
        right = codes.shape == (n,) and codes.dtype.kind in "iu"
        check(right, f"codes must be {n} integers, got {codes.dtype} of shape {codes.shape}")
        check_range("n_features", self.n_features, 1, 64)
        check_choice("normalize", self.normalize, ("log1p", None))
        if self.size is not None:
            check_range("size", self.size, 100, 10**6)
        k = max(int(codes.max(initial=-1)) + 1, 0 if labels is None else len(labels))
        texts = [str(one) for one in (range(k) if labels is None else labels)]
        check(len(texts) == k == len(set(texts)), f"labels must be {k} different names, got {listed(texts)}")
        check(NONE not in texts, f"no cluster may be named {NONE!r}, which is the label of rows without a rule")
        check(names is None or len(names) == len(set(names)) == p, f"names must be {p} different texts")
        held = quarters_of(n, self.seed) == 0
        taught = np.where(held, -1, codes)
        sizes = np.bincount(taught[taught >= 0], minlength=k)
        self._present = np.flatnonzero(sizes >= FEWEST)
        few = len(self._present)
        check(few > 1, f"at least two clusters must have rows enough for rules, {FEWEST} outside of those held out")
        check(few <= MOST_CLUSTERS, f"a card holds at most {MOST_CLUSTERS} clusters, got {few}")
        codes, taught = (_renumbered(one, self._present, k) for one in (codes, taught))
        self._labels = [texts[one] for one in self._present]
        sums = known_totals(blocks, totals, execution) if self.normalize else None
        with single_threaded(), execution.kept_heap():
            candidates, training = self._learn(blocks, taught, sums, columns, execution)
            scores = training.choose(candidates, self.n_features)
            empty = [name for name, own in zip(self._labels, scores.chosen, strict=True) if not own]
            check(not empty, f"no column tells {listed(empty)} from other clusters")
            scores = training.without(scores, partial(self._excess, candidates=candidates))
            self.card_ = self._card(candidates, training.points(scores))
        self._width = p
        self._judge(blocks, np.where(held, codes, -1), k, sums, execution)
        return self

    def _learn(
        self, blocks: Any, taught: Array, totals: Array | None, columns: Array | None, execution: Execution
    ) -> tuple[Candidates, Training]:
        """Choose columns and thresholds, and read the rows to fit on."""
        k, chosen = len(self._present), choose(columns, blocks.shape[1])
        found = moments_of(Normalized(blocks, self.normalize, totals=totals, columns=chosen), taught, k, execution)
        told = choose_columns(found)
        check(len(told) > 0, "no column tells the clusters apart: their means differ no more than by chance")
        rows = sampled_rows(taught, k, self.seed)
        source = Normalized(blocks, self.normalize, totals=totals, columns=chosen[told])
        values = sampled_values(source, rows, execution)
        candidates = candidates_of(found, told, values, COUNTS if self.normalize else PLAIN)
        met = candidates.met(values)
        kept = useful(met)
        check(len(kept) > 0, "no column tells the clusters apart: all rows have the same values")
        candidates = candidates.kept(kept)
        self._positions = chosen[told]
        own = taught[rows]
        weights = np.sqrt(np.bincount(taught[taught >= 0], minlength=k)) / np.bincount(own, minlength=k)
        weights = weights[own] / weights[own].mean()
        return candidates, Training(met[:, kept], own, weights, k)

    def _name(self, place: int) -> str:
        """Name a column of the table by its position."""
        return str(place) if self._names is None else str(self._names[place])

    def _card(self, candidates: Candidates, points: Points) -> Card:
        """Write the points as rules."""
        rules = []
        for name, own, signed, need in zip(self._labels, points.chosen, points.signed, points.need, strict=True):
            conditions = [
                Condition(
                    self._name(int(self._positions[candidates.column[place]])),
                    bool(given > 0),
                    float(candidates.thresholds[place]),
                    int(abs(given)),
                )
                for place, given in zip(own, signed, strict=True)
            ]
            rules.append(Rule(name, tuple(sorted(conditions, key=lambda one: -one.points)), need, 0.99, 0.99))
        return Card("", COUNTS if self.normalize else PLAIN, tuple(rules))

    def _excess(self, points: Points, candidates: Candidates) -> int:
        """Tell how many conditions must go for the card to be short enough."""
        card, most = self._card(candidates, points), self.size
        most = max(SIZE, SIZE_EACH * len(self._present)) if most is None else most
        over = len(card.json.encode()) + HEAD - most
        each = np.mean([one.n_bytes for rule in card.rules for one in rule.conditions])
        return math.ceil(over / each)

    def _judge(self, blocks: Any, judged: Array, k: int, totals: Array | None, execution: Execution) -> None:
        """Take precision and recall of the rules on held-out rows."""
        rows = np.flatnonzero(judged >= 0)
        own = None if totals is None else totals[rows]
        named = self._named(ChosenRows(blocks, rows), own, execution) if len(rows) else np.empty(0, np.int32)
        truth, n = judged[rows], len(self._present)
        right = np.bincount(truth[named == truth], minlength=n).astype(float)
        nothing = np.full(n, np.nan)
        precision, recall = (
            np.divide(right, total, out=nothing.copy(), where=total > 0)
            for total in (np.bincount(named[named >= 0], minlength=n), np.bincount(truth, minlength=n))
        )
        rules = [
            Rule(rule.name, rule.conditions, rule.need, _share(precision[one]), _share(recall[one]))
            for one, rule in enumerate(self.card_.rules)
        ]
        self.card_ = Card(self.card_.by, self.card_.unit, tuple(rules))
        both = np.nan_to_num(precision) + np.nan_to_num(recall)
        f1 = np.divide(2 * np.nan_to_num(precision) * np.nan_to_num(recall), both, out=np.zeros(n), where=both > 0)
        known = ~np.isnan(recall)
        self.f1_ = float(f1[known].mean()) if known.any() else float("nan")
        self.precision_, self.recall_ = np.full(k, np.nan), np.full(k, np.nan)
        self.precision_[self._present], self.recall_[self._present] = precision, recall

    def _named(self, blocks: Any, totals: Array | None, execution: Execution | None) -> Array:
        places = {self._name(int(place)): int(place) for place in self._positions}
        return label_rows(self.card_, blocks, [places[one] for one in self.card_.features], totals, execution)[0]

    def predict(self, X: Any, totals: Array | None = None, execution: Execution | None = None) -> Array:
        """Return the cluster of each row by the rules, n int32; -1 where no rule holds.

        Raises
        ------
        ParameterError
            If X has another number of columns than in fit.
        """
        blocks = as_blocks(X)
        check(blocks.shape[1] == self._width, f"X must have {self._width} columns, got {blocks.shape[1]}")
        sums = known_totals(blocks, totals, execution) if self.card_.unit == COUNTS else None
        named = self._named(blocks, sums, execution)
        return np.where(named >= 0, self._present[named], -1).astype(np.int32)


def label_rows(
    card: Card, X: Any, places: Sequence[int], totals: Array | None = None, execution: Execution | None = None
) -> tuple[Array, Array]:
    """Label the rows of a table by a card, with no training: number of the rule, n int32, and margin, n float64.

    The number is -1 where no rule holds. The margin is the points of the best rule beyond those that it needs, and
    negative where none holds; -inf where no rule can be used.

    places: column of each of the card's features; -1 where it is not there.
    totals: n, with which values are log1p(10,000 count / total); None: values as they are.
    """
    blocks = as_blocks(X)
    there = np.array([place for place in places if place >= 0], np.int64)
    check(len(there) > 0, "no feature of the card is in the table")
    columns = np.unique(there)
    source = Normalized(blocks, None if totals is None else "log1p", totals=totals, columns=columns)
    positions = np.array([np.searchsorted(columns, one) if one >= 0 else -1 for one in places])
    work = partial(label_block, card=card, source=source, positions=positions)
    parts = list(map_blocks(work, blocks, execution, "card"))
    codes = np.concatenate([np.empty(0, np.int32), *(codes for codes, _ in parts)])
    return codes, np.concatenate([np.empty(0), *(margins for _, margins in parts)])


def label_block(block: Block, start: int, card: Card, source: Normalized, positions: Array) -> tuple[Array, Array]:
    """Label the rows of a block."""
    values = np.full((block.shape[0], len(positions)), np.nan)
    values[:, positions >= 0] = dense_rows(source, block, start)[:, positions[positions >= 0]]
    margins = card.margins(values)
    return best_rules(margins), margins.max(axis=1)


def sampled_rows(codes: Array, k: int, seed: int) -> Array:
    """Choose rows of each cluster by a hash, as equally many as there are, ascending.

    >>> rows = sampled_rows(np.repeat([0, 1, -1], [20_000, 50, 100]), 2, 0)
    >>> int((rows < 20_000).sum()), int((rows >= 20_000).sum())
    (3000, 50)
    """
    most = max(EACH, SAMPLED // k)
    bits = hashed(np.arange(len(codes)), seed, SAMPLE)
    parts = []
    for one in range(k):
        own = np.flatnonzero(codes == one)
        parts.append(own[np.argsort(bits[own], kind="stable")[:most]])
    return np.sort(np.concatenate(parts))


def _renumbered(codes: Array, present: Array, k: int) -> Array:
    """Number the clusters that are present without gaps; -1 for the others."""
    numbers = np.full(k + 1, -1, np.int64)
    numbers[present] = np.arange(len(present))
    renumbered: Array = numbers[np.where(codes >= 0, codes, k)]
    return renumbered


def _share(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 2)
