import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.decomposition import non_negative_factorization

from kithkin.core.errors import ParameterError
from kithkin.models import Topics
from kithkin.models.topics.topics import distinctive_features


def draw(n=300, p=80, k=3, seed=0, depth=60):
    rng = np.random.default_rng(seed)
    factors = rng.dirichlet(np.full(p, 0.1), k)
    weights = rng.dirichlet(np.full(k, 0.3), n)
    return rng.poisson(depth * weights @ factors), weights, factors.T


def divergence(X, mean):
    return float((X * np.log(np.where(X > 0, X, 1) / mean) - X + mean).sum())


def matched(found, true):
    """Columns of what was found in the order of the true ones."""
    distance = ((found[:, :, None] - true[:, None, :]) ** 2).sum(axis=0)
    return found[:, distance.argmin(axis=0)]


def test_divergence_is_that_of_the_fit():
    X, _, _ = draw()
    model = Topics(3).fit(X)
    mean = model.loadings_.astype(float) @ model.factors_.T
    assert model.divergence_ == pytest.approx(divergence(X, np.maximum(mean, 1e-300)), rel=1e-5)


def test_it_is_no_worse_than_scikit_learn_run_long():
    X, _, _ = draw(seed=1)
    model = Topics(3, tolerance=1e-7, max_iter=500).fit(X)
    settings = {"solver": "mu", "beta_loss": "kullback-leibler", "tol": 0.0, "max_iter": 1500, "random_state": 0}
    loadings, factors, _ = non_negative_factorization(X.astype(float), n_components=3, init="random", **settings)
    peer = divergence(X, np.maximum(loadings @ factors, 1e-300))
    assert model.divergence_ <= 1.001 * peer


def test_the_divergence_never_rises():
    X, _, _ = draw(seed=2)
    trace = Topics(5, max_iter=80, tolerance=0.0).fit(X).trace_
    assert len(trace) > 40
    assert np.all(np.diff(trace) <= 1e-6 * trace[0])


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_gradient_vanishes_where_a_factor_is_positive(scale):
    X, _, _ = draw(n=120, p=30, k=2, seed=3)
    model = Topics(2, max_iter=2000, tolerance=1e-10).fit(X * scale)
    loadings = model.loadings_.astype(float)
    ratio = X * scale / np.maximum(loadings @ model.factors_.T, 1e-300)
    slope = (loadings.sum(axis=0) - ratio.T @ loadings) / loadings.sum(axis=0)
    assert np.abs(slope * model.factors_).max() < 1e-4
    assert slope[model.factors_ < 1e-12].min(initial=0.0) > -1e-2


def test_topics_are_found_again():
    X, weights, factors = draw(n=1500, seed=4, depth=400)
    model = Topics(3, tolerance=1e-7).fit(X)
    assert np.abs(matched(model.factors_, factors) - factors).max() < 0.01
    assert np.abs(model.weights_.sum(axis=1) - 1).max() < 1e-5
    order = np.argsort(-weights.sum(axis=0))
    assert np.abs(model.weights_ - weights[:, order]).mean() < 0.03
    assert np.all(np.diff(model.loadings_.sum(axis=0)) <= 0)


def test_new_rows_get_the_weights_of_equal_old_ones():
    X, _, _ = draw(seed=5)
    model = Topics(3, tolerance=1e-8, max_iter=500).fit(X)
    assert np.abs(model.transform(X[:20]) - model.weights_[:20]).max() < 0.01
    with pytest.raises(ParameterError, match="X must have 80 columns as in fit, got 79"):
        model.transform(X[:, 1:])


def test_rows_without_counts_and_columns_without_counts():
    X, _, _ = draw(seed=6)
    X[7] = 0
    X[:, 3] = 0
    model = Topics(3).fit(sparse.csr_matrix(X))
    assert np.isnan(model.weights_[7]).all()
    assert not model.loadings_[7].any()
    assert not model.factors_[3].any()
    assert (model.labels_[7], model.labels_[8]) == (-1, model.weights_[8].argmax())
    assert np.isnan(model.entropy_[7])
    assert np.allclose(model.entropy_[8:20], [stats.entropy(row) for row in model.weights_[8:20]], atol=1e-6)
    assert np.isfinite(np.delete(model.weights_, 7, axis=0)).all()


@pytest.mark.parametrize("kind", ["labels", "weights"])
def test_a_start_is_used(kind):
    X, weights, _ = draw(seed=7)
    start = weights.argmax(axis=1) if kind == "labels" else weights
    given = Topics(3, max_iter=1).fit(X, start=start)
    other = Topics(3, max_iter=1).fit(X, start=np.arange(300) % 3)
    assert given.divergence_ < 0.9 * other.divergence_


def test_one_topic_is_the_overall_share():
    X, _, _ = draw()
    model = Topics(1).fit(X)
    assert np.allclose(model.factors_[:, 0], X.sum(axis=0) / X.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "X", "start", "message"),
    [
        ({"n_topics": 0}, np.ones((4, 3)), None, "n_topics must be in 1..3, got 0"),
        ({"n_topics": 2}, -np.ones((4, 3)), None, "X must hold counts, but some numbers are negative"),
        ({"n_topics": 2}, np.full((4, 3), np.nan), None, "X must hold finite numbers, but some are NaN or infinite"),
        ({"n_topics": 2}, np.zeros((4, 3)), None, "X holds nothing but zeros"),
        ({"n_topics": 2}, np.ones((4, 3)), np.zeros(3, int), "start must hold 4 labels, one for each row, got 3"),
        ({"n_topics": 2}, np.ones((4, 3)), np.full(4, 2), r"the labels of start must be in 0\.\.1"),
        ({"n_topics": 2}, np.ones((4, 3)), np.ones((4, 3)), "start must be 4 x 2, got 4 x 3"),
        ({"n_topics": 2}, np.ones((4, 3)), -np.ones((4, 2)), "the weights of start must be finite and at least 0"),
    ],
)
def test_refusals(settings, X, start, message):
    with pytest.raises(ParameterError, match=message):
        Topics(**settings).fit(X, start=start)


def test_distinctive_features_are_not_those_that_all_topics_share():
    factors = np.array([[0.6, 0.6, 0.6], [0.4, 0.0, 0.0], [0.0, 0.3, 0.1], [0.0, 0.1, 0.3]])
    assert distinctive_features(factors, 1).ravel().tolist() == [1, 2, 3]


def test_the_cell_types_of_blood(pbmc):
    types = ["CD8+ Cytotoxic T", "CD4+/CD25 T Reg", "CD19+ B", "CD14+ Monocyte"]
    cells = pbmc[pbmc.obs["celltype"].isin(types)]
    truth = cells.obs["celltype"].to_numpy()
    model = Topics(4).fit(cells.X)
    top = model.weights_.argmax(axis=1)
    assert sum(max(np.sum(truth[top == k] == kind) for kind in types) for k in range(4)) / len(top) > 0.85
    genes = [cells.var["symbol"].iloc[row].tolist() for row in distinctive_features(model.factors_, 20)]
    assert any("CD74" in names or "CD79A" in names for names in genes)
