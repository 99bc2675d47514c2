"""The default start finds the groups without luck, and the fitted model predicts, scores and simulates."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_mixture import CountMixture


def simulated(seed, n=100, p=500, K=4, size=1e4):
    """The example of Sarkar and Stephens: equal groups, log mean uniform on (-12, -6), log 1 / phi on (0, 4)."""
    rng = np.random.default_rng(seed)
    log_mean, shape = rng.uniform(-12, -6, (K, p)), np.exp(rng.uniform(0, 4, (K, p)))
    truth = np.repeat(np.arange(K), n // K)
    X = rng.poisson(size * np.exp(log_mean[truth]) * rng.gamma(shape[truth]) / shape[truth])
    return sparse.csr_matrix(X), truth


@pytest.fixture(scope="module")
def fitted():
    X, truth = simulated(0)
    return X, truth, CountMixture(4).fit(X)


@pytest.mark.parametrize("seed", range(8))  # twenty in benchmarks/count_mixture.py
def test_groups_are_found_from_every_seed(seed):
    X, truth = simulated(seed)
    assert adjusted_rand_score(truth, CountMixture(4, seed=seed).fit(X).labels_) == 1.0


def test_known_size_factors():
    X, truth = simulated(1)
    model = CountMixture(4).fit(X, size=np.full(100, 1e4))
    assert adjusted_rand_score(truth, model.labels_) == 1.0


def test_attributes_agree(fitted):
    X, _, model = fitted
    assert np.array_equal(model.predict(X), model.labels_)
    assert np.allclose(model.predict_proba(X), model.probabilities_)
    assert model.score(X) * 100 == pytest.approx(model.criteria_["log_likelihood"], rel=1e-12)
    assert model.criteria_["log_joint"] <= model.criteria_["log_likelihood"]
    assert model.criteria_["leave_one_out"] < model.criteria_["log_likelihood"]
    assert model.criteria_["icl"] >= model.criteria_["bic"]
    assert np.all(np.diff(model.weights_) <= 0)
    assert model.weights_.sum() == pytest.approx(1.0)
    assert model.log_mean_.shape == model.log_dispersion_.shape == (4, 500)


def test_new_cells_of_other_sizes(fitted):
    _, _, model = fitted
    X, labels = model.sample(np.geomspace(300, 1e5, 50), seed=1)
    assert np.array_equal(model.predict(X, size=np.geomspace(300, 1e5, 50)), labels)
    one_by_one = [model.score_samples(X[row])[0] for row in (0, 20, 49)]
    assert np.allclose(model.score_samples(X)[[0, 20, 49]], one_by_one, rtol=1e-9)


def test_simulated_cells_have_the_moments_of_the_model(fitted):
    _, _, model = fitted
    X, labels = model.sample(np.full(3000, 1e4), seed=0)
    own = X[labels == 0].toarray()
    mean, phi = 1e4 * np.exp(model.log_mean_[0]), np.exp(model.log_dispersion_[0])
    many = (mean > 5) & (phi < 2)
    assert np.allclose(own[:, many].mean(axis=0), mean[many], rtol=0.2)
    assert np.median(own[:, many].var(axis=0) / (mean + mean**2 * phi)[many]) == pytest.approx(1.0, abs=0.1)


def test_threads_and_blocks_do_not_matter():
    X, _ = simulated(2)
    models = [
        CountMixture(4).fit(InMemory(X, rows=rows), execution=Execution(threads=threads))
        for rows, threads in ((30, 1), (30, 2), (100, 1))
    ]
    assert np.array_equal(models[0].log_mean_, models[1].log_mean_)
    assert models[0].trace_ == models[1].trace_
    assert np.array_equal(models[0].labels_, models[2].labels_)
    assert np.allclose(models[0].trace_, models[2].trace_, rtol=1e-9)


def test_starts_from_labels_shares_and_a_model(fitted):
    X, truth, model = fitted
    labels = CountMixture(4, init=truth).fit(X)
    shares = CountMixture(4, init=np.eye(4)[truth] * 0.9 + 0.025).fit(X)
    again = CountMixture(4, init=model, max_iter=1).fit(X)
    assert np.array_equal(labels.labels_, truth)
    assert adjusted_rand_score(shares.labels_, truth) == 1.0
    assert np.array_equal(again.labels_, model.labels_)
    some = np.where(np.arange(100) % 5 == 0, truth, -1)
    assert adjusted_rand_score(CountMixture(4, init=some).fit(X).labels_, truth) == 1.0


def test_chosen_genes(fitted):
    X, _, _ = fitted
    mask = np.arange(500) < 300
    size = np.asarray(X.sum(axis=1)).ravel()
    model = CountMixture(4).fit(X, columns=mask)
    alone = CountMixture(4).fit(X[:, mask], size=size)
    assert model.log_mean_.shape == (4, 300)
    assert np.allclose(model.log_mean_, alone.log_mean_)
    assert np.array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("dispersion", ["gene", "poisson"])
def test_fewer_dispersions(fitted, dispersion):
    X, truth, full = fitted
    model = CountMixture(4, dispersion=dispersion).fit(X)
    assert adjusted_rand_score(truth, model.labels_) == 1.0
    assert model.criteria_["log_likelihood"] < full.criteria_["log_likelihood"]
    assert np.all(model.log_dispersion_ == model.log_dispersion_[0])


def test_shrinkage_draws_dispersions_together(fitted):
    X, _, free = fitted
    held = CountMixture(4, shrinkage=0.3).fit(X)
    assert np.isfinite(held.log_dispersion_).all()
    known = np.isfinite(free.log_dispersion_)
    assert held.log_dispersion_[known].std() < free.log_dispersion_[known].std()
    assert np.diff(held.trace_).min() > -1e-10 * abs(held.trace_[0])


@pytest.mark.parametrize("criterion", ["leave_one_out", "held_out", "bic", "icl"])
def test_number_of_clusters(criterion):
    X, truth = simulated(3, p=150)
    model = CountMixture([2, 3, 4, 6], criterion=criterion).fit(X)
    assert [point["n_clusters"] for point in model.curve_] == [2, 3, 4, 6]
    assert len(model.weights_) == 4
    assert adjusted_rand_score(truth, model.labels_) == 1.0


def test_automatic_number():
    X, truth = simulated(4, p=150)
    model = CountMixture("auto", criterion="held_out").fit(X)
    assert adjusted_rand_score(truth, model.labels_) == 1.0
    assert [point["n_clusters"] for point in model.curve_] == [1, 2, 3, 4, 5, 6]


def test_one_cluster_and_dense_input(fitted):
    X, _, _ = fitted
    model = CountMixture(1).fit(X.toarray())
    assert np.all(model.probabilities_ == 1.0)


@pytest.mark.parametrize(
    ("parameters", "values", "message"),
    [
        ({"n_clusters": 0}, 1, r"n_clusters must be in 1\.\.10, got 0"),
        ({"n_clusters": 11}, 1, r"n_clusters must be in 1\.\.10, got 11"),
        ({"n_clusters": "many"}, 1, "n_clusters must be one of 'auto'"),
        ({"n_clusters": 2, "dispersion": "none"}, 1, "dispersion must be one of"),
        ({"n_clusters": 2, "init": np.zeros(3, int)}, 1, "init must have 10 rows"),
        ({"n_clusters": 2, "init": np.full(10, 2)}, 1, "init must hold labels below n_clusters=2, got 2"),
        ({"n_clusters": 2, "init": np.ones((10, 3))}, 1, "init must have n_clusters=2 columns, got 3"),
        ({"n_clusters": 2, "shrinkage": 1.0, "dispersion": "poisson"}, 1, "shrinkage needs dispersions"),
        ({"n_clusters": 2}, 0.5, "needs counts, but X holds values that are not integers"),
        ({"n_clusters": 2}, -1, "needs counts, but X holds negative values"),
        ({"n_clusters": 2}, 0, "every row needs counts, but row 0 has none"),
    ],
)
def test_refusals(parameters, values, message):
    with pytest.raises(ParameterError, match=message):
        CountMixture(**parameters).fit(np.full((10, 5), values))


def test_other_columns_and_empty_cells_are_refused(fitted):
    X, _, model = fitted
    with pytest.raises(ParameterError, match="X must have 500 columns as in fit, got 3"):
        model.predict(np.ones((2, 3), int))
    with pytest.raises(ParameterError, match="row 1 has none"):
        model.predict(np.vstack([np.ones((1, 500), int), np.zeros((1, 500), int)]))
    with pytest.raises(ParameterError, match="size must be finite and above 0"):
        model.predict(X, size=np.zeros(100))


def test_sorted_blood_cells(pbmc):
    kinds = ["CD19+ B", "CD8+ Cytotoxic T"]
    cells = pbmc[pbmc.obs["celltype"].isin(kinds)][::3]
    model = CountMixture(2).fit(cells.X)
    assert adjusted_rand_score(cells.obs["celltype"], model.labels_) == 1.0
    assert np.diff(model.trace_).min() > -1e-10 * abs(model.trace_[0])


def test_as_many_clusters_come_out_as_were_asked_for_or_a_warning_says_so(caplog):
    """Deep counts of mixtures of three profiles, in which single cells stand apart in the later components."""
    profiles = np.random.default_rng(0).dirichlet(np.full(300, 0.3), 3)
    shares = np.vstack([np.eye(3), np.full((3, 3), 0.16) + 0.52 * np.eye(3)])
    for seed in range(5):
        draws = np.random.default_rng(seed)
        truth, size = draws.integers(0, 6, 120), draws.lognormal(9.5, 0.5, (120, 1))
        X = draws.poisson(shares[truth] @ profiles * size * draws.gamma(5.0, 0.2, (120, 300)))
        caplog.clear()
        found = len(np.unique(CountMixture(6, seed=seed).fit(X).labels_))
        assert found == 6 or f"{6 - found} of 6 clusters are empty" in caplog.text
        assert found >= 5
    caplog.clear()
    CountMixture(4, init=np.repeat([0, 1], 30), max_iter=3).fit(X[:60])
    assert "2 of 4 clusters are empty, as every cell is likelier in another: ask for 2" in caplog.text
