import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata

import kithkin as kk
from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models import SetScores
from kithkin.models.sets.controls import draw_controls, mean_bins

N, P = 60, 300
SETS = {"one": np.array([3, 40, 41, 200]), "two": np.arange(20, 90), "three": np.array([7, -1, -1])}


@pytest.fixture(scope="module")
def counts():
    X = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.3, 4, P), (N, P)).astype(np.uint16)
    X[5], X[:, [40, 250]] = 0, 0  # an empty cell, and genes that no cell has
    return X


def ucell(X, columns, last):
    """Score by the formula of the paper, with the last rank for zeros as in its program."""
    ranks = np.minimum(rankdata(-X.astype(float), axis=1), last)
    ranks[X == 0] = last
    n, there = len(columns), columns[columns >= 0]
    total = ranks[:, there].sum(axis=1) + last * (n - len(there))
    return 1 - (total - n * (n + 1) / 2) / (n * last - n * (n + 1) / 2)


def test_ucell_follows_its_formula(counts):
    model = SetScores(SETS, max_rank=80).fit(counts)
    wanted = np.stack([ucell(counts, columns, 80) for columns in SETS.values()], axis=1)
    np.testing.assert_allclose(model.scores_, wanted, atol=1e-6)
    assert model.scores_[5].tolist() == [0, 0, 0]
    assert model.labels_[5] == -1


def test_ucell_does_not_see_what_is_done_to_a_cell_as_a_whole(counts):
    model = SetScores(SETS, max_rank=80)
    scores = model.fit(counts).scores_
    normalised = np.log1p(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)) * 1e4)
    assert np.array_equal(scores, model.fit(normalised).scores_)
    assert np.array_equal(scores, model.fit(np.round(counts * 3.0)).scores_)
    assert np.array_equal(scores, model.fit(sparse.csr_matrix(counts.astype(np.float32))).scores_)


def test_genes_against_a_set_are_subtracted(counts):
    against = {"two": np.array([3, 41, -1])}
    model = SetScores(SETS, against=against, max_rank=80).fit(counts)
    wanted = np.maximum(0, ucell(counts, SETS["two"], 80) - ucell(counts, against["two"], 80))
    np.testing.assert_allclose(model.scores_[:, 1], wanted, atol=1e-6)
    np.testing.assert_allclose(model.scores_[:, 0], ucell(counts, SETS["one"], 80), atol=1e-6)


def test_aucell_is_the_area_under_the_curve(counts):
    model = SetScores(SETS, "aucell", max_rank=30, seed=3).fit(InMemory(sparse.csr_matrix(counts), rows=7))
    seen = np.flatnonzero(counts.any(axis=0))
    order = np.random.default_rng(3).choice(seen, len(seen), replace=False)
    ranks = rankdata(-counts[:, order].astype(float), method="ordinal", axis=1)
    for number, columns in enumerate(SETS.values()):
        inside = np.isin(order, columns)
        best = np.arange(1, 30)
        found = np.array([(ranks[:, inside] <= r).sum(axis=1) for r in best]).sum(axis=0)
        full = np.minimum(best, inside.sum()).sum()
        np.testing.assert_allclose(np.delete(model.scores_[:, number], 5), np.delete(found / full, 5), atol=1e-6)
    assert np.isnan(model.scores_[5]).all()


def test_a_mean_is_over_genes_of_like_expression(counts):
    model = SetScores(SETS, "mean", n_bins=8, n_controls=6, seed=2).fit(counts)
    values = np.log1p(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)) * 1e4)
    bins = mean_bins(values.mean(axis=0), 8)
    for number, (name, columns) in enumerate(SETS.items()):
        own, controls = columns[columns >= 0], model.controls_[name]
        assert not set(own) & set(controls)
        assert set(bins[controls]) <= set(bins[own])
        assert np.bincount(bins[controls]).max() <= 6
        wanted = values[:, own].mean(axis=1) - values[:, controls].mean(axis=1)
        np.testing.assert_allclose(model.scores_[:, number], wanted, atol=1e-5)


@pytest.mark.parametrize("method", ["ucell", "aucell", "mean"])
def test_a_score_depends_on_no_other_set_and_on_no_block(counts, method):
    settings = {} if method == "mean" else {"max_rank": 75}
    together = SetScores(SETS, method, **settings).fit(counts).scores_
    for number, name in enumerate(SETS):
        alone = SetScores({name: SETS[name]}, method, **settings).fit(InMemory(sparse.csr_matrix(counts), rows=11))
        np.testing.assert_allclose(alone.scores_[:, 0], together[:, number], rtol=1e-6, atol=1e-7)


def test_controls_are_those_of_the_seed():
    bins, columns = np.repeat([0, 1, 2], 40), np.array([0, 1, 45])
    first, again, other = (draw_controls(bins, columns, 5, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(bins[first]) == {0, 1}


def test_the_highest_set_is_told_by_standardised_scores():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.2, (90, 60))
    X[:, :10] += 5  # expressed everywhere, and a little more in the first cells
    X[:30, :10] += 3
    X[30:60, 20:30] += 2
    model = SetScores({"common": np.arange(10), "rare": np.arange(20, 30)}, max_rank=50).fit(X)
    assert (model.scores_[30:60, 0] > model.scores_[30:60, 1]).all()
    assert (model.labels_[:30] == 0).mean() > 0.9
    assert (model.labels_[30:60] == 1).mean() > 0.9


REFUSED = [
    ({"sets": {}}, r"sets must map the name of each set to its columns"),
    ({"sets": {"a": [0, 300]}}, r"sets\['a'\] must be columns in 0\.\.299, or -1"),
    ({"sets": {"a": [-1]}}, r"sets\['a'\] has no gene of the table"),
    ({"sets": {"a": [1, 1]}}, r"sets\['a'\] names a column twice"),
    ({"method": "gsva"}, r"method must be one of 'ucell', 'aucell', 'mean', got 'gsva'"),
    ({"max_rank": 50}, r"max_rank must be at least 70, the number of genes of 'two', got 50"),
    ({"method": "mean", "max_rank": 50}, r"max_rank has no effect with method='mean'"),
    ({"method": "aucell", "max_rank": 900}, r"max_rank must be in 2\.\.\d+, got 900"),
    ({"method": "mean", "against": {"one": [2]}}, r"against needs method='ucell', got 'mean'"),
    ({"against": {"four": [2]}}, r"against must name some of the sets, got 'four'"),
    ({"sets": {"a": np.arange(300)}, "method": "mean"}, r"no gene is left to compare 'a' with"),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED)
def test_what_cannot_be_scored_is_refused(counts, settings, said):
    with pytest.raises(kk.ParameterError, match=said):
        SetScores(**{"sets": SETS} | settings).fit(counts)


def test_scores_that_do_not_fit_the_budget_are_refused(counts):
    sets = {str(k): np.array([k]) for k in range(P)}
    with pytest.raises(kk.ParameterError, match=r"300 sets of 60 cells take 72,000"):
        SetScores(sets).fit(counts, execution=Execution(memory=50_000))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("method", ["ucell", "aucell", "mean"])
def test_broken_values_are_refused(counts, method, bad):
    X = counts.astype(float)
    X[2, 2] = bad
    with pytest.raises(kk.ParameterError, match="needs counts, but X holds"):
        SetScores(SETS, method).fit(X)
