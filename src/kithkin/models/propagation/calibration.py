"""Probabilities of propagated labels, calibrated with labels that are held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution
from kithkin.metrics.calibration import expected_calibration_error
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.neighbors.transfer import Votes
from kithkin.models.propagation.propagation import Propagation
from kithkin.models.propagation.seeds import probabilities

N_FOLDS = 5
ENOUGH = 500  # labels: one temperature is then known to a twentieth
TRIAL_TOLERANCE = 1e-3  # of scores that only a temperature is taken from
PRIOR = 0.25  # standard deviation of log T: a handful of labels does not move it far from 1
LEAST, MOST = 0.05, 5.0  # temperatures
RARE = 1e-6  # smallest probability that a single label can have in the likelihood
MOST_ROWS = 4000  # of a reference that are held out
FEWEST_ROWS = 30


@dataclass(frozen=True)
class Calibration:
    r"""Temperature of probabilities, and how good these are for labels that were held out.

    A label with score :math:`F_l` has probability :math:`F_l^{1/T} / \sum_m F_m^{1/T}`. T maximises the likelihood of
    the labels that were held out, with a normal prior of log T around 0.

    temperature: T; below 1 where scores are under-confident.
    n_held_out: number of labels that were held out.
    accuracy: fraction of these that win.
    error_before, error: expected calibration error, with a temperature of 1 and with T.
    Source: Guo, Pleiss, Sun and Weinberger 2017, doi:10.48550/arXiv.1706.04599.
    """

    temperature: float = 1.0
    n_held_out: int = 0
    accuracy: float = float("nan")
    error_before: float = float("nan")
    error: float = float("nan")


def calibrate(scores: Array, codes: Array) -> Calibration:
    """Choose the temperature by rows of known labels.

    scores: m x s, not negative, of rows whose labels were held out; rows without any score are left out.
    codes: label of each row, m.

    Examples
    --------
    >>> scores = np.tile([[0.6, 0.4]], (100, 1))
    >>> found = calibrate(scores, np.zeros(100, int))
    >>> found.temperature < 0.5, found.accuracy, round(found.error_before, 3), found.error < 0.3
    (True, 1.0, 0.4, True)
    """
    scores = np.maximum(np.nan_to_num(scores), 0)
    reached = scores.sum(axis=1) > 0
    scores, codes = scores[reached], codes[reached]
    if not len(scores):
        return Calibration()

    def loss(log_t: float) -> float:
        own = probabilities(scores, float(np.exp(log_t)))[np.arange(len(codes)), codes]
        return float(-np.log(np.maximum(own, RARE)).sum() + log_t**2 / (2 * PRIOR**2))

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    temperature, right = float(np.exp(found.x)), scores.argmax(axis=1) == codes
    errors = [expected_calibration_error(probabilities(scores, t).max(axis=1), right) for t in (1.0, temperature)]
    return Calibration(temperature, len(codes), float(right.mean()), *errors)


def held_out_labels(
    model: Propagation, graph: Any, codes: Array, seed: int, execution: Execution | None = None
) -> tuple[Array, Array]:
    """Propagate with a fifth of the labels held out at a time, until 500 labels, or all, were held out once.

    model: the settings; its tolerance is loosened to 1e-3.
    graph: n x n symmetric weights.
    codes: label of each vertex from 0, n; negative: none. The only vertex of a label is never held out.
    Returns the scores of the vertices that were held out, m x s, and their codes, m.
    """
    n_labels = int(codes.max()) + 1
    sizes = np.bincount(codes[codes >= 0], minlength=n_labels)
    rows = np.flatnonzero((codes >= 0) & (sizes[codes] > 1))
    rows = np.random.default_rng(seed).permutation(rows)
    rows = rows[np.argsort(codes[rows], kind="stable")]  # every fold takes its share of every label
    trial = _trial(model)
    scores, truth = [np.empty((0, n_labels), np.float32)], [np.empty(0, codes.dtype)]
    for fold in range(N_FOLDS):
        out = rows[fold::N_FOLDS]
        if sum(map(len, truth)) >= ENOUGH or not len(out):
            break
        left = codes.copy()
        left[out] = -1
        trial.fit(graph, left[:, None] == np.arange(n_labels), execution)
        scores.append(trial.scores_[out])
        truth.append(codes[out])
    return np.concatenate(scores), np.concatenate(truth)


def held_out_votes(
    model: Propagation, rows: Array, codes: Array, n_rows: int, n_neighbors: int, seed: int, execution: Execution
) -> tuple[Array, Array]:
    """Propagate votes over a graph of some rows of a reference that are held out: a trial of its transfer.

    model: the settings; its tolerance is loosened to 1e-3.
    rows: coordinates of the reference, n x d.
    codes: label of each row from 0, n; negative: none.
    n_rows: rows of the data to which labels will be transferred: as many are held out, but at most half of those with
        a label, and at most 4,000.
    n_neighbors: number of rows that vote.
    Returns the scores of the rows that were held out, m x s, and their codes, m; no rows where the reference is small.
    """
    known = np.flatnonzero(codes >= 0)
    taken = min(n_rows, len(known) // 2, MOST_ROWS)
    if taken < FEWEST_ROWS or len(known) - taken < n_neighbors:
        return np.empty((0, int(codes.max()) + 1), np.float32), np.empty(0, codes.dtype)
    out = np.sort(np.random.default_rng(seed).choice(known, taken, replace=False))
    left = codes.copy()
    left[out] = -1
    votes = np.zeros((taken, int(codes.max()) + 1), np.float32)
    found = Votes(n_neighbors, seed=seed).fit(rows, left, rows[out], execution).votes_
    votes[:, : found.shape[1]] = found
    graph = Neighbors(min(15, taken)).fit(rows[out], execution).connectivities_
    present, scores = votes.any(axis=0), np.zeros_like(votes)
    scores[:, present] = _trial(model).fit(graph, votes[:, present], execution).scores_
    return scores, codes[out]


def _trial(model: Propagation) -> Propagation:
    return Propagation(
        model.alpha,
        method=model.method,
        normalize=model.normalize,
        tolerance=TRIAL_TOLERANCE if model.method == "exact" else model.tolerance,
        max_iter=model.max_iter,
        clamp=model.clamp,
    )
