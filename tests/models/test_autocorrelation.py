from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.autocorrelation import Autocorrelation


def random_graph(n=80, density=0.1, seed=0):
    rng = np.random.default_rng(seed)
    upper = sparse.triu(sparse.random(n, n, density, random_state=rng, data_rvs=lambda k: rng.uniform(0.1, 1, k)), 1)
    return sparse.csr_matrix(upper + upper.T).astype(np.float32)


def by_definition(graph, x):
    W, n = graph.toarray().astype(float), len(x)
    z = x - x.mean()
    moran = n / W.sum() * (W * np.outer(z, z)).sum() / (z**2).sum()
    geary = (n - 1) / (2 * W.sum()) * (W * (x[:, None] - x) ** 2).sum() / (z**2).sum()
    return moran, geary


@pytest.mark.parametrize("columns", [1, 3, 37])
def test_equals_the_definition_for_any_number_of_columns(columns):
    graph = random_graph()
    X = np.random.default_rng(1).gamma(1, 5, (80, columns)) + 1000
    model = Autocorrelation(0).fit(graph, X)
    expected = np.array([by_definition(graph, x) for x in X.T])
    np.testing.assert_allclose(model.morans_i_, expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(model.gearys_c_, expected[:, 1], atol=1e-6)
    assert np.isnan(model.morans_pval_sampled_).all()


def test_moments_are_those_of_permutations_and_both_p_values_agree():
    graph = random_graph(60)
    rng = np.random.default_rng(3)
    x = rng.gamma(1.0, 2.0, 60)
    shuffled = np.array([rng.permutation(x) for _ in range(3000)]).T
    model = Autocorrelation(400).fit(graph, x)
    spread = Autocorrelation(0).fit(graph, shuffled)
    for name, smooth in (("morans_i_", 1), ("gearys_c_", -1)):
        by_chance = getattr(spread, name)
        z = smooth * (getattr(model, name)[0] - by_chance.mean()) / by_chance.std()
        normal = getattr(model, name.replace("_i_", "_pval_").replace("_c_", "_pval_"))[0]
        from scipy.stats import norm

        assert normal == pytest.approx(norm.sf(z), abs=0.03)
        sampled = getattr(model, name.replace("_i_", "_pval_sampled_").replace("_c_", "_pval_sampled_"))[0]
        assert sampled == pytest.approx((smooth * by_chance >= smooth * getattr(model, name)[0]).mean(), abs=0.08)
        assert by_chance.mean() == pytest.approx(-1 / 59 if smooth == 1 else 1, abs=4 * by_chance.std() / 3000**0.5)


def test_p_values_are_uniform_for_chance_and_small_for_smooth_values():
    graph = random_graph(300, 0.02)
    X = np.random.default_rng(4).normal(size=(300, 400))
    model = Autocorrelation(0).fit(graph, X)
    for p in (model.morans_pval_, model.gearys_pval_):
        assert np.abs(np.sort(p) - np.linspace(0, 1, 400)).max() < 0.1
    ring = sparse.diags([np.ones(299), np.ones(299)], [1, -1]).tocsr()
    smooth = Autocorrelation(99).fit(ring, np.sin(np.arange(300) / 20))
    assert smooth.morans_i_[0] > 0.99
    assert smooth.gearys_c_[0] < 0.01
    assert smooth.morans_pval_[0] < 1e-30
    assert smooth.morans_pval_sampled_[0] == smooth.gearys_pval_sampled_[0] == 0.01


def test_threads_batches_and_neighbouring_columns_change_nothing(monkeypatch):
    monkeypatch.setattr("kithkin.models.graphs.walk.ROWS", 32)
    graph, X = random_graph(), np.random.default_rng(5).normal(size=(80, 20))
    names = ["morans_i_", "gearys_c_", "morans_pval_", "gearys_pval_", "morans_pval_sampled_", "gearys_pval_sampled_"]
    one = Autocorrelation(20).fit(graph, X, Execution(threads=1))
    for again in (
        Autocorrelation(20).fit(graph, X, Execution(threads=3)),
        Autocorrelation(20).fit(graph, iter([X[:, :16], X[:, 16:]])),
        Autocorrelation(20).fit(graph, iter(X.T)),
    ):
        for name in names:
            np.testing.assert_allclose(getattr(one, name), getattr(again, name), rtol=1e-6)
    assert not np.array_equal(Autocorrelation(20, seed=1).fit(graph, X).morans_pval_sampled_, one.morans_pval_sampled_)


def test_a_constant_has_no_score():
    X = np.column_stack([np.full(80, 0.1), np.arange(80.0)])
    model = Autocorrelation(3).fit(random_graph(), X)
    for name in ("morans_i_", "gearys_c_", "morans_pval_", "gearys_pval_sampled_"):
        assert np.isnan(getattr(model, name)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("X", "graph", "message"),
    [
        (np.ones(79), random_graph(), "X must have 80 rows"),
        (np.full(80, np.nan), random_graph(), "finite"),
        (np.array(["a"] * 80), random_graph(), "numbers"),
        (np.ones(80), sparse.csr_matrix((80, 80)), "links"),
        (np.ones(3), np.ones((3, 3)), "at least 4"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(X, graph, message):
    with pytest.raises(ParameterError, match=message):
        Autocorrelation().fit(graph, X)
