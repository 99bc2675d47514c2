import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.blocks import InMemory
from kithkin.core.errors import FormatError, NotFittedError, ParameterError
from kithkin.models import CountMixture, Topics
from kithkin.models.mixture.encoder import MixtureEncoder

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    truth = np.arange(240) % 3
    means = rng.gamma(0.4, 1.0, (3, 60))
    means /= means.sum(axis=1, keepdims=True)
    size = rng.uniform(100, 600, 240)
    return truth, sparse.csr_matrix(rng.poisson(size[:, None] * means[truth] * rng.gamma(2, 0.5, (240, 60))))


@pytest.fixture(scope="module")
def mixture(counts):
    return CountMixture(3).fit(counts[1])


@pytest.mark.parametrize("components", ["fixed", "free"])
def test_it_assigns_new_cells_as_the_mixture_does(counts, mixture, components):
    _, X = counts
    encoder = MixtureEncoder(components=components, n_epochs=10, batch_size=32).fit(InMemory(X[:180], rows=70), mixture)
    assert np.mean(encoder.predict(X[180:]) == mixture.predict(X[180:])) > 0.97
    assert np.allclose(encoder.predict_proba(X).sum(axis=1), 1, atol=1e-5)
    assert encoder.bound_[-1] > encoder.bound_[0]


def test_the_bound_stays_below_the_likelihood(counts, mixture):
    encoder = MixtureEncoder(n_epochs=12).fit(counts[1], mixture)
    assert np.all(encoder.bound_ <= mixture.score(counts[1]) + 1e-9)
    assert encoder.bound_[-1] > mixture.score(counts[1]) - 0.2


def test_densities_of_free_components_are_the_negative_binomial(counts, mixture):
    _, X = counts
    encoder = MixtureEncoder(components="free", n_epochs=1, batch_size=240, learning_rate=1e-8).fit(X, mixture)
    target, likelihood = np.ones((240, 3)) / 3, np.zeros(240)
    (batch,) = encoder._batches(InMemory(X), None, target, likelihood, np.random.default_rng(0))
    found = encoder._network.log_densities(batch).detach().numpy()
    order = np.random.default_rng(0)
    order.permutation(1)
    rows = X.toarray()[order.permutation(240)]
    size = rows.sum(axis=1, keepdims=True)
    for k in range(3):
        r = np.exp(-np.clip(mixture.log_dispersion_[k], -9.2, 9.2))
        mean = size * np.exp(mixture.log_mean_[k])
        assert np.allclose(found[:, k], stats.nbinom.logpmf(rows, r, r / (r + mean)).sum(axis=1), rtol=1e-8)


def test_the_same_seed_gives_the_same_network(counts, mixture):
    first, again, other = (
        MixtureEncoder(n_epochs=2, seed=seed).fit(counts[1], mixture).predict_proba(counts[1]) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_chosen_genes_are_those_of_the_mixture(counts):
    _, X = counts
    mask = np.arange(60) % 2 == 0
    mixture = CountMixture(3).fit(X, mask)
    encoder = MixtureEncoder(n_epochs=3).fit(X, mixture)
    altered = X.toarray()
    altered[:, ~mask] = 0
    assert np.array_equal(encoder.predict_proba(altered), encoder.predict_proba(X))


def test_wrong_input_is_one_sentence(counts, mixture):
    with pytest.raises(ParameterError, match="mixture must be fitted"):
        MixtureEncoder().fit(counts[1], CountMixture(3))
    with pytest.raises(ParameterError, match="X must have 60 columns as in fit, got 59"):
        MixtureEncoder(n_epochs=1).fit(counts[1], mixture).predict(counts[1][:, 1:])


def test_components_start_from_the_first_mini_batch(counts):
    truth, X = counts
    encoder = MixtureEncoder(components="free", n_epochs=40, batch_size=40).fit(InMemory(X, rows=70), 3)
    table = np.zeros((3, 3), int)
    np.add.at(table, (encoder.predict(X), truth), 1)
    assert table.max(axis=1).sum() > 0.95 * 240
    with pytest.raises(ParameterError, match="needs components='free'"):
        MixtureEncoder().fit(X, 3)
    with pytest.raises(ParameterError, match=r"mixture must be in 1\.\.64, got 100"):
        MixtureEncoder(components="free").fit(X, 100)


def test_components_start_from_topics_and_given_parameters(counts):
    _, X = counts
    topics = Topics(3).fit(X)
    given = CountMixture.from_parameters(np.log(np.maximum(topics.factors_.T, 1e-9)))
    encoder = MixtureEncoder(components="free", n_epochs=10, batch_size=32).fit(X, given)
    assert np.mean(encoder.predict(X) == topics.labels_) > 0.95
    assert encoder.bound_[-1] > encoder.bound_[0]
    moved = np.abs(encoder.log_mean_ - given.log_mean_)
    assert 0 < np.median(moved) < 0.5


@pytest.mark.parametrize("components", ["fixed", "free"])
def test_an_encoder_is_saved_and_loaded(counts, mixture, components, tmp_path):
    _, X = counts
    encoder = MixtureEncoder(components=components, n_epochs=2).fit(X, mixture)
    encoder.save(tmp_path / "encoder.safetensors")
    again = MixtureEncoder.load(tmp_path / "encoder.safetensors", device="cpu")
    assert np.array_equal(again.predict_proba(X), encoder.predict_proba(X))
    for name in ("weights_", "log_mean_", "log_dispersion_", "bound_"):
        assert np.array_equal(getattr(again, name), getattr(encoder, name))
    assert again.set_params(device="auto").get_params() == encoder.get_params()
    with pytest.raises(ParameterError, match="X must have 60 columns"):
        again.predict(X[:, :5])


def test_files_that_hold_no_encoder_are_refused(counts, mixture, tmp_path):
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(FormatError, match="no such file"):
        MixtureEncoder.load(path)
    with pytest.raises(NotFittedError, match="MixtureEncoder is not fitted"):
        MixtureEncoder().save(path)
    MixtureEncoder(n_epochs=1).fit(counts[1], mixture).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] + b"12345")
    with pytest.raises(FormatError, match="damaged"):
        MixtureEncoder.load(path)
    path.write_bytes(whole[:100])
    with pytest.raises(FormatError, match="is not a safetensors file"):
        MixtureEncoder.load(path)
