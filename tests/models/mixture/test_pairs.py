"""Likelihoods of groups and of sums of two of their cells are those of the formulas, computed by SciPy."""

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.blocks import SparseRows
from kithkin.models.mixture.pairs import PROPORTIONS, TEMPER, GroupPairs


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    means = rng.gamma(0.5, 3.0, (3, 25)) + 0.01
    labels = np.repeat([0, 1, 2], [40, 60, 30])
    X = rng.poisson(means[labels] * np.exp(rng.normal(0, 0.4, (130, 1))) * rng.gamma(4, 0.25, (130, 25))) + 0
    X[:, 0] += 1  # no cell is empty
    rows = sparse.csr_matrix(X)
    return GroupPairs.fit(rows, X.sum(axis=1), labels), X


def log_pmf(x, mean, phi):
    if phi == 0:
        return stats.poisson.logpmf(x, mean)
    return stats.nbinom.logpmf(x, 1 / phi, 1 / (1 + mean * phi))


def direct(model, x, total, mean, phi, location, spread):
    of_genes = sum(log_pmf(count, total * m, f) for count, m, f in zip(x, mean, phi, strict=True))
    return of_genes / TEMPER - ((np.log(total) - location) / spread) ** 2 / 2 - np.log(spread)


def test_scores_are_those_of_the_formulas(fitted):
    model, X = fitted
    rate = 0.07
    some = X[[3, 60, 110]]
    some = np.concatenate([some, X[[0]] + X[[100]], X[[50]] + X[[51]]])
    totals = some.sum(axis=1)
    rows = sparse.csr_matrix(some.astype(np.int32))
    stored = SparseRows(rows.data, rows.indices, rows.indptr.astype(np.int64), 25)
    ratio, first, second = model.scores(stored, totals, rate)
    for k, (x, total) in enumerate(zip(some, totals, strict=True)):
        single = [
            direct(model, x, total, model.mean[a], model.phi[a], model.location[a], model.spread[a])
            + np.log(model.weight[a])
            for a in range(3)
        ]
        likeliest = np.argsort(single)[::-1][:2]
        pairs = {}
        for a in range(3):
            for b in range(a, 3):
                if not {a, b} & set(likeliest):
                    continue
                values = []
                for step in PROPORTIONS:
                    both = np.hypot(model.spread[a], model.spread[b])
                    w = 1 / (1 + np.exp(model.location[b] - model.location[a] - step * both))
                    mean = w * model.mean[a] + (1 - w) * model.mean[b]
                    variance = (w * model.mean[a]) ** 2 * model.phi[a] + ((1 - w) * model.mean[b]) ** 2 * model.phi[b]
                    sizes = np.exp(model.location + model.spread**2 / 2)
                    variances = sizes**2 * np.expm1(model.spread**2)
                    added = sizes[a] + sizes[b]
                    square = np.log1p((variances[a] + variances[b]) / added**2)
                    location = np.log(added) - square / 2
                    values.append(direct(model, x, total, mean, variance / mean**2, location, np.sqrt(square)))
                weight = model.weight[a] * model.weight[b] * (1 if a == b else 2)
                pairs[a, b] = np.logaddexp.reduce(values) - np.log(len(PROPORTIONS)) + np.log(weight)
        want = np.logaddexp.reduce([*pairs.values()]) - np.logaddexp.reduce(single) + np.log(rate / (1 - rate))
        assert ratio[k] == pytest.approx(want, rel=1e-6, abs=1e-6)
        assert (first[k], second[k]) == max(pairs, key=lambda pair: pairs[pair])


def test_sums_are_told_from_cells(fitted):
    model, X = fitted
    rng = np.random.default_rng(1)
    pairs = np.stack([rng.integers(0, 40, 20), rng.integers(40, 100, 20)])
    whole = np.concatenate([X, X[pairs[0]] + X[pairs[1]]]).astype(np.int32)
    rows = sparse.csr_matrix(whole)
    stored = SparseRows(rows.data, rows.indices, rows.indptr.astype(np.int64), 25)
    ratio, first, second = model.scores(stored, whole.sum(axis=1), 0.1)
    assert np.median(ratio[130:]) > np.quantile(ratio[:130], 0.95)
    assert np.mean((first[130:] == 0) & (second[130:] == 1)) > 0.8


def test_one_group_is_enough():
    X = np.random.default_rng(0).poisson(2.0, (50, 10)) + 1
    model = GroupPairs.fit(sparse.csr_matrix(X), X.sum(axis=1), np.zeros(50, int))
    rows = sparse.csr_matrix((2 * X[:4]).astype(np.int32))
    stored = SparseRows(rows.data, rows.indices, rows.indptr.astype(np.int64), 10)
    ratio, first, second = model.scores(stored, 2 * X[:4].sum(axis=1), 0.1)
    assert (ratio > 0).all()
    assert not first.any()
    assert not second.any()
