"""Labels by their place in a harmonised space, with probabilities that hold for batches that were not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize_scalar

from kithkin.core.blocks import Array, InMemory
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.harmony.harmony import Harmony
from kithkin.models.harmony.symphony import SoftClusters, map_onto
from kithkin.models.table.blas import single_threaded

VARIANCES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the prior of the coefficients, for rows of unit variance
MOST_FOLDS = 5
TRIED = 4000  # rows on which the variance is chosen
COLDEST, HOTTEST = 0.2, 5.0  # temperatures


@dataclass
class Landmarks:
    """Labelled rows of a reference.

    given: components before the integration, m x d float32.
    placed: components after it, m x d float32.
    codes: label of each row from 0, m integers.
    weights: number of rows that each stands for, m.
    batches: batch of each row from 0, m integers.
    """

    given: Array
    placed: Array
    codes: Array
    weights: Array
    batches: Array

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> Landmarks:
        """Return some of the rows."""
        return Landmarks(self.given[rows], self.placed[rows], self.codes[rows], self.weights[rows], self.batches[rows])


class LabelClassifier:
    r"""Multinomial logistic regression of labels on the components of a harmonised reference.

    The log-odds of a label are :math:`w_l \cdot z + b_l`, with a normal prior of the coefficients. Its variance, and
    the temperature T that the log-odds are divided by, are those under which batches that were left out are told best:
    each fold of the batches is mapped onto a reference made of the others, as other data will be.

    coef_, intercept_: L x d and L float64; the columns of all labels sum to 0.
    temperature_: T.
    held_out_: log-odds of each landmark by the classifier of the others, m x L; minus infinity for labels that the
        other folds do not have, NaN if none was tried.
    others_: coefficients and intercepts of the classifier of the others, for each fold that was tried.
    """

    coef_: Array
    intercept_: Array
    temperature_: float
    held_out_: Array
    others_: dict[int, tuple[Array, Array]]

    def __init__(self, n_labels: int, *, seed: int = 0) -> None:
        self.n_labels, self.seed = n_labels, seed

    def fit(self, marks: Landmarks, folds: Array, execution: Execution) -> Self:
        """Choose variance and temperature by folds of the landmarks that are left out, and fit all of them."""
        check(len(np.unique(marks.codes)) >= 2, "labels must be two or more to be told apart")
        unit = float(np.sqrt(marks.placed.var(axis=0, dtype=np.float64).mean())) or 1.0
        tried = np.arange(len(marks))
        if len(tried) > TRIED:
            tried = np.sort(np.random.default_rng(self.seed).choice(len(marks), TRIED, replace=False))
        some, fold_of = marks.take(tried), folds[tried]
        found = np.full((len(VARIANCES), len(marks), self.n_labels), np.nan)
        others: dict[int, list[tuple[Array, Array]]] = {}
        for fold in np.unique(folds).tolist():
            left, out = np.flatnonzero(fold_of != fold), np.flatnonzero(folds == fold)
            if len(np.unique(some.codes[left])) < 2 or not len(out):
                continue
            training, mapped = self._without(some.take(left), marks.take(out), execution)
            for number, variance in enumerate(VARIANCES):
                coef, intercept = self._solve(training, some.codes[left], some.weights[left], variance, unit)
                found[number, out] = mapped @ coef.T + intercept
                others.setdefault(fold, []).append((coef, intercept))
        losses = [_loss(1.0, logits, marks) for logits in found]
        best = int(np.argmin(losses))
        self.held_out_, self.others_ = found[best], {fold: fits[best] for fold, fits in others.items()}
        self.temperature_ = 1.0
        if np.isfinite(losses[best]):
            search = minimize_scalar(
                lambda log_t: _loss(float(np.exp(log_t)), self.held_out_, marks),
                bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded",
            )  # fmt: skip
            self.temperature_ = float(np.exp(search.x))
        self.coef_, self.intercept_ = self._solve(marks.placed, marks.codes, marks.weights, VARIANCES[best], unit)
        return self

    def _without(self, left: Landmarks, out: Landmarks, execution: Execution) -> tuple[Array, Array]:
        """Integrate the rows that are left, and map those that are out onto them; return both."""
        batches = np.unique(left.batches, return_inverse=True)[1]
        if batches.max() > 0:
            model: Any = Harmony(seed=self.seed).fit(left.given, batches, execution)
            placed = model.embedding_
        else:
            model = SoftClusters(seed=self.seed).fit(InMemory(left.given), execution)
            placed = left.given
        others = np.unique(out.batches, return_inverse=True)[1]
        return placed, map_onto(out.given.copy(), others, model.sizes_, model.sums_, execution)

    def _solve(self, rows: Array, codes: Array, weights: Array, variance: float, unit: float) -> tuple[Array, Array]:
        """Return coefficients and intercepts of all labels; those that do not occur have minus infinity."""
        from sklearn.linear_model import LogisticRegression

        present = np.unique(codes)
        model = LogisticRegression(C=variance, max_iter=500)
        with single_threaded():
            model.fit(rows.astype(np.float64) / unit, codes, weights * (len(weights) / weights.sum()))
        coef, intercept = model.coef_ / unit, model.intercept_
        if len(present) == 2:  # one row for the second of the two
            coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        all_coef = np.zeros((self.n_labels, rows.shape[1]))
        all_intercept = np.full(self.n_labels, -np.inf)
        all_coef[present], all_intercept[present] = coef, intercept
        return all_coef, all_intercept


def folds_of(batches: Array, seed: int) -> Array:
    """Part rows into at most five folds: by batch, large ones first, or at random where there is one batch.

    Examples
    --------
    >>> folds_of(np.array([0, 1, 1, 1, 2, 2]), seed=0).tolist()
    [2, 0, 0, 0, 1, 1]
    """
    sizes = np.bincount(batches)
    if len(sizes) == 1:
        return np.random.default_rng(seed).integers(0, MOST_FOLDS, len(batches))
    filled, of_batch = np.zeros(min(len(sizes), MOST_FOLDS)), np.empty(len(sizes), np.int64)
    for batch in np.argsort(-sizes, kind="stable"):
        of_batch[batch] = filled.argmin()
        filled[of_batch[batch]] += sizes[batch]
    folds: Array = of_batch[batches]
    return folds


def probabilities(logits: Array, temperature: float) -> Array:
    """Return the probabilities of the labels, rows x labels, of log-odds."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Array = scaled / scaled.sum(axis=1, keepdims=True)
    return found


def draw_landmarks(codes: Array, n_sample: int, seed: int) -> tuple[Array, Array]:
    """Draw labelled rows, ascending, as equally many of each label as there are; return how many each stands for, too.

    codes: label of each row from 0; negative: none.

    Examples
    --------
    >>> rows, weights = draw_landmarks(np.array([0, 0, 0, 0, 1, -1]), 3, seed=0)
    >>> len(rows), 4 in rows, weights.tolist()
    (3, True, [2.0, 2.0, 1.0])
    """
    sizes = np.bincount(codes[codes >= 0])
    # the largest number of each label that fits: small labels are taken whole, and the others share what is left
    quota, left = 0, n_sample
    for taken, size in enumerate(np.sort(sizes)):
        quota = left // (len(sizes) - taken)
        if size > quota:
            break
        left -= size
        quota = size
    rng, parts = np.random.default_rng(seed), []
    for code in np.flatnonzero(sizes):
        own = np.flatnonzero(codes == code)
        parts.append(own if len(own) <= quota else rng.choice(own, max(quota, 1), replace=False))
    rows = np.sort(np.concatenate(parts))
    drawn = np.bincount(codes[rows], minlength=len(sizes))
    return rows, sizes[codes[rows]] / drawn[codes[rows]]


def _loss(temperature: float, logits: Array, marks: Landmarks) -> float:
    """Mean negative log-likelihood of the labels that the others have, by the rows that landmarks stand for."""
    own = logits[np.arange(len(marks)), marks.codes]
    known = np.isfinite(own)
    if not known.any():
        return np.inf
    right = probabilities(logits[known], temperature)[np.arange(int(known.sum())), marks.codes[known]]
    return float(np.average(-np.log(np.maximum(right, 1e-12)), weights=marks.weights[known]))
