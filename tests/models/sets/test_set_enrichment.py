import numpy as np
import pytest
from scipy.stats import false_discovery_control, fisher_exact, kstest, mannwhitneyu

import kithkin as kk
from kithkin.models import SetEnrichment

P = 200
SETS = {"a": np.arange(30), "b": np.array([4, 100, 150, -1]), "c": np.arange(150, 200)}


@pytest.fixture(scope="module")
def scores():
    scores = np.random.default_rng(0).normal(size=(3, P)).round(1)  # ties
    scores[0, :30] += 1
    return scores


def test_fisher_equals_scipy_within_the_background(scores):
    chosen, background = scores > 0.8, np.arange(P) < 180
    model = SetEnrichment(SETS).fit(chosen, background)
    for test in range(3):
        for number, columns in enumerate(SETS.values()):
            inside = np.isin(np.arange(P), columns)[background]
            picked = chosen[test, background]
            table = [[(inside & picked).sum(), (inside & ~picked).sum()],
                     [(~inside & picked).sum(), (~inside & ~picked).sum()]]  # fmt: skip
            assert model.pvals_[test, number] == pytest.approx(fisher_exact(table, alternative="greater")[1])
            assert model.n_found_[test, number] == table[0][0]
            assert model.expected_[test, number] == pytest.approx(inside.sum() * picked.sum() / 180)
    assert model.sizes_.tolist() == [30, 3, 30]
    np.testing.assert_allclose(model.pvals_adj_.ravel(), false_discovery_control(model.pvals_.ravel()))


def test_rank_sums_without_correlation_equal_scipy(scores):
    model = SetEnrichment(SETS, "rank", correlation=0.0).fit(scores)
    for test in range(3):
        for number, columns in enumerate(SETS.values()):
            inside = np.isin(np.arange(P), columns)
            found = mannwhitneyu(
                scores[test, inside], scores[test, ~inside], alternative="greater", method="asymptotic"
            )
            assert model.pvals_[test, number] == pytest.approx(found.pvalue)
            assert model.auc_[test, number] == pytest.approx(found.statistic / inside.sum() / (~inside).sum())


def test_correlation_keeps_the_error_that_it_promises():
    """Genes of the set share a part of their noise; 5 % of the tests are below 0.05 with it, and far more without."""
    rng, rho = np.random.default_rng(0), 0.05
    scores = rng.normal(size=(4000, P))
    scores[:, :30] = np.sqrt(rho) * rng.normal(size=(4000, 1)) + np.sqrt(1 - rho) * scores[:, :30]
    p, plain = (SetEnrichment({"a": np.arange(30)}, "rank", correlation=r).fit(scores).pvals_ for r in (rho, 0.0))
    assert kstest(p.ravel(), "uniform").statistic < 0.03
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.012)
    assert (plain < 0.05).mean() > 0.09


def test_a_set_without_genes_in_the_background_is_not_tested(scores):
    for method, X in (("fisher", scores > 1), ("rank", scores)):
        model = SetEnrichment(SETS, method).fit(X, np.arange(P) < 150)
        assert np.isnan(model.pvals_[:, 2]).all()
        assert np.isnan(model.pvals_adj_[:, 2]).all()
        np.testing.assert_allclose(
            model.pvals_adj_[:, :2].ravel(), false_discovery_control(model.pvals_[:, :2].ravel())
        )


def test_scores_that_are_all_equal_say_nothing():
    assert SetEnrichment({"a": [0, 1]}, "rank").fit(np.ones((1, 9))).pvals_.tolist() == [[1.0]]
    assert SetEnrichment({"a": [0, 1]}).fit(np.zeros((1, 9), bool)).pvals_.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("settings", "X", "background", "said"),
    [
        ({"sets": {}}, np.ones((1, 4), bool), None, r"sets must map the name of each set"),
        ({"sets": {"a": [9]}}, np.ones((1, 4), bool), None, r"sets\['a'\] must be columns in 0\.\.3"),
        ({"method": "gsea"}, np.ones((1, P), bool), None, r"method must be one of 'fisher', 'rank', got 'gsea'"),
        ({}, np.ones((1, P)), None, r"booleans that mark the chosen genes, got float64"),
        ({}, np.ones((1, P), bool), np.ones(3, bool), r"background must be 200 booleans"),
        ({"method": "rank"}, np.full((1, P), np.nan), None, r"finite scores"),
        ({"method": "rank", "correlation": 2.0}, np.ones((1, P)), None, r"correlation must be in 0\.0\.\.1\.0"),
    ],
)
def test_what_does_not_fit_is_refused(settings, X, background, said):
    with pytest.raises(kk.ParameterError, match=said):
        SetEnrichment(**{"sets": SETS} | settings).fit(X, background)
