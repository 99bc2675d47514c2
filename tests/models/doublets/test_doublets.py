"""Doublets that are known are found, with their parents, whichever way; cells without doublets have few."""

import anndata
import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.metrics import partition  # noqa: F401  (loads compiled code once)
from kithkin.models import Doublets
from kithkin.models.doublets.calibration import best_threshold, share_of_doublets
from kithkin.models.doublets.simulation import scrublet_score

METHODS = ("simulate", "mixture")


def auroc(scores, truth):
    order = np.argsort(np.argsort(scores, kind="stable")) + 1.0
    for value in np.unique(scores):
        order[scores == value] = order[scores == value].mean()
    n = truth.sum()
    return (order[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n))


def cells(n=600, n_groups=4, n_pairs=40, seed=0, n_genes=300):
    """Cells of some groups, and sums of two of them."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(0.4, 2.0, (n_groups, n_genes))
    labels = rng.integers(0, n_groups, n)
    size = np.exp(rng.normal(0, 0.3, n))
    X = rng.poisson(means[labels] * size[:, None] * rng.gamma(5, 0.2, (n, n_genes)))
    pairs = np.array([rng.choice(n, 2, replace=False) for _ in range(n_pairs)]).reshape(-1, 2).astype(int)
    sums = X[pairs[:, 0]] + X[pairs[:, 1]]
    return np.concatenate([X, sums]), labels, pairs


@pytest.mark.parametrize("method", METHODS)
def test_pairs_and_their_parents_are_found(method):
    X, labels, pairs = cells()
    truth = np.arange(len(X)) >= 600
    apart = labels[pairs[:, 0]] != labels[pairs[:, 1]]
    model = Doublets(method).fit(X)
    looked_at = np.r_[np.ones(600, bool), apart]
    assert auroc(model.scores_[looked_at], truth[looked_at]) > 0.98
    assert model.is_doublet_[600:][apart].mean() > 0.8
    assert model.is_doublet_[:600].mean() < 0.02
    assert 0.03 < model.rate_ < 0.09
    assert model.scores_[model.is_doublet_].min() >= model.threshold_ - 1e-12
    assert model.scores_[~model.is_doublet_].max() < model.threshold_
    given = np.r_[labels, np.full(40, -1)]
    model = Doublets(method).fit(sparse.csr_matrix(X), given)
    called = model.is_doublet_[600:] & apart
    assert np.array_equal(model.parents_[600:][called], np.sort(labels[pairs], axis=1)[called])
    assert (model.parents_[~model.is_doublet_] == -1).all()
    profiles = np.stack([X[:600][labels == one].mean(axis=0) for one in range(4)])
    marked = profiles[:, model.markers_]
    assert (np.diag(marked) == marked.max(axis=0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_few_are_called_where_there_are_none(method):
    X, *_ = cells(n_pairs=0)
    model = Doublets(method).fit(X)
    assert model.is_doublet_.mean() < 0.02
    assert model.rate_ < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_a_large_sample_is_scored_against_a_part_of_it(method):
    X, labels, pairs = cells(n=3000, n_pairs=200)
    truth = np.arange(len(X)) >= 3000
    apart = np.r_[np.ones(3000, bool), labels[pairs[:, 0]] != labels[pairs[:, 1]]]
    whole = Doublets(method).fit(X)
    part = Doublets(method, n_sample=800).fit(InMemory(X, rows=257), execution=Execution(threads=2))
    assert len(part.reference_) == 800
    assert auroc(whole.scores_[apart], truth[apart]) > 0.98
    assert auroc(part.scores_[apart], truth[apart]) > 0.98
    assert np.mean(whole.is_doublet_ == part.is_doublet_) > 0.97
    assert abs(whole.rate_ - part.rate_) < 0.02


def test_a_known_rate_is_taken():
    X, *_ = cells()
    few, many = (Doublets(rate=rate).fit(X) for rate in (0.01, 0.3))
    assert (few.rate_, many.rate_) == (0.01, 0.3)
    assert few.is_doublet_.sum() < many.is_doublet_.sum()


def test_a_group_of_doublets_is_no_parent():
    X, labels, pairs = cells(n=900, n_pairs=70)
    apart = np.flatnonzero(labels[pairs[:, 0]] != labels[pairs[:, 1]])
    X, pairs = np.concatenate([X[:900], X[900:][apart]]), pairs[apart]
    model = Doublets().fit(X, np.r_[labels, np.full(len(apart), 4)])
    called = model.is_doublet_[900:]
    assert called.mean() > 0.6
    assert model.markers_[4] == -1
    assert not (model.parents_ == 4).any()
    assert (model.parents_[900:][called] == np.sort(labels[pairs], axis=1)[called]).all(axis=1).mean() > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_real_cells(method, shared_data):
    source = shared_data / "pbmc_facs.h5ad"
    if not source.exists():
        pytest.skip("pbmc_facs.h5ad is not in ../shared/data")
    sorted_cells = anndata.read_h5ad(source)
    X, types = sparse.csr_matrix(sorted_cells.X).astype(np.int32), sorted_cells.obs["celltype"].astype(str).to_numpy()
    rng = np.random.default_rng(11)
    pairs = np.array([rng.choice(len(types), 2, replace=False) for _ in range(301)])
    truth = np.arange(len(types) + 301) >= len(types)
    apart = np.r_[np.ones(len(types), bool), types[pairs[:, 0]] != types[pairs[:, 1]]]
    model = Doublets(method).fit(sparse.vstack([X, X[pairs[:, 0]] + X[pairs[:, 1]]], format="csr"))
    assert auroc(model.scores_, truth) >= 0.90
    assert auroc(model.scores_[apart], truth[apart]) >= 0.95
    assert model.rate_ == pytest.approx(301 / len(truth), abs=0.02)


def test_the_share_is_that_of_a_mixture():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.1, 0.3):
        cells_ = np.where(rng.random(20000) < share, rng.normal(3, 1, 20000), rng.normal(0, 1, 20000))
        simulated = rng.normal(3, 1, 5000)
        assert share_of_doublets(cells_, simulated) == pytest.approx(share, rel=0.2)
        threshold, told = best_threshold(cells_, simulated, share)
        best = 1.5 + np.log((1 - share) / share) / 3  # where both densities, weighted, are equal
        assert threshold == pytest.approx(best, abs=0.4)
        assert told == pytest.approx(np.mean(simulated >= threshold))


def test_the_score_is_that_of_scrublet():
    q, rho, r = 0.7, 0.06, 2.0
    by_bayes = q * rho / r / ((1 - rho) - q * (1 - rho - rho / r))
    assert scrublet_score(np.array([q]), rho, r)[0] == pytest.approx(by_bayes)
    assert (np.diff(scrublet_score(np.linspace(0, 1, 50), rho, r)) > 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "scrublet"}, "method must be one of"),
        ({"rate": 0.9}, "rate must be in"),
        ({"n_sample": 10}, "n_sample must be in"),
        ({"n_genes": 1}, "n_genes must be in"),
    ],
)
def test_wrong_parameters_are_refused(change, said):
    X, *_ = cells(n=60, n_pairs=0)
    with pytest.raises(ParameterError, match=said):
        Doublets(**change).fit(X)


def test_wrong_tables_are_refused():
    X, *_ = cells(n=60, n_pairs=0)
    for table, said in ((X[:10], "at least 30 cells"), (X - 1, "negative"), (X + 0.5, "not integers")):
        with pytest.raises(ParameterError, match=said):
            Doublets().fit(table)
    for labels in (np.zeros(3, int), np.zeros(60)):
        with pytest.raises(ParameterError, match="labels must be 60 integers"):
            Doublets().fit(X, labels)
    with pytest.raises(ParameterError, match="labels must name groups"):
        Doublets().fit(X, np.full(60, -1))
