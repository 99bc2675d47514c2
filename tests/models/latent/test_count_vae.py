import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import FormatError, NotFittedError, ParameterError
from kithkin.core.execute import Execution
from kithkin.models import CountVAE

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")

SMALL = {"n_hidden": 24, "batch_size": 32, "n_epochs": 12}


def simulate(n=360, p=50, n_groups=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % n_groups
    means = rng.gamma(0.4, 1.0, (n_groups, p)) + 1e-3
    means /= means.sum(axis=1, keepdims=True)
    size = rng.uniform(150, 600, n)
    return truth, sparse.csr_matrix(rng.poisson(size[:, None] * means[truth] * rng.gamma(4, 0.25, (n, p))))


@pytest.fixture(scope="module")
def counts():
    return simulate()


@pytest.fixture(scope="module")
def fitted(counts):
    return CountVAE(3, **SMALL).fit(counts[1])


def test_groups_lie_apart_in_latent_space(counts, fitted):
    found = KMeans(3, n_init=5, random_state=0).fit_predict(fitted.embedding_)
    assert adjusted_rand_score(counts[0], found) > 0.95
    assert fitted.embedding_.shape == (360, 3)
    assert fitted.history_[-1]["held_out"] > fitted.history_[0]["held_out"]


def test_rows_of_the_fit_are_transformed_to_their_embedding(counts, fitted):
    np.testing.assert_allclose(fitted.transform(counts[1]), fitted.embedding_, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
@pytest.mark.parametrize("size_factors", ["observed", "latent"])
def test_equal_seeds_give_equal_bits_for_every_cut(counts, likelihood, size_factors):
    given = {"likelihood": likelihood, "size_factors": size_factors, "n_hidden": 8, "batch_size": 32, "n_epochs": 2}
    whole = CountVAE(2, **given).fit(counts[1], execution=Execution(threads=1)).embedding_
    dense = InMemory(counts[1].toarray().astype(np.float32), rows=7)
    cut = CountVAE(2, **given).fit(dense, execution=Execution(threads=2, memory=2**20)).embedding_
    assert np.array_equal(whole, cut)
    assert not np.array_equal(whole, CountVAE(2, **given, seed=1).fit(counts[1]).embedding_)


def test_an_interrupted_training_goes_on_to_the_same_bits(counts, fitted, tmp_path, monkeypatch):
    from kithkin.models.latent import training

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    epoch, path = training.Training._epoch, tmp_path / "state.safetensors"

    def interrupted(self, phase, number):
        if number == 7:
            raise KeyboardInterrupt
        epoch(self, phase, number)

    monkeypatch.setattr(training.Training, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        CountVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    monkeypatch.setattr(training.Training, "_epoch", epoch)
    with pytest.raises(ParameterError, match="another table or other parameters"):
        CountVAE(3, **SMALL, checkpoint=path, seed=1).fit(counts[1])
    resumed = CountVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    assert np.array_equal(resumed.embedding_, fitted.embedding_)
    assert resumed.history_ == fitted.history_
    assert not path.exists()


def test_a_saved_model_answers_alike(counts, fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = CountVAE.load(path, device="cpu")
    assert np.array_equal(loaded.transform(counts[1]), fitted.transform(counts[1]))
    few = counts[1][:20]
    assert np.array_equal(loaded.log_likelihood(few, n_samples=5), fitted.log_likelihood(few, n_samples=5))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError):
        CountVAE.load(path)


def test_the_likelihood_rises_with_the_draws_and_prefers_the_cells(counts, fitted):
    few = counts[1][:60]
    one, many = (fitted.log_likelihood(few, n_samples=n).mean() for n in (1, 200))
    assert many > one
    rng = np.random.default_rng(0)
    shuffled = sparse.csr_matrix(few.toarray()[:, rng.permutation(few.shape[1])])
    assert fitted.log_likelihood(shuffled, n_samples=20).mean() < many - 50


def test_expected_counts_are_near_those_of_the_group(counts, fitted):
    truth, X = counts
    expected = fitted.denoise(X, target_sum=1.0)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_array_equal(fitted.denoise(X, genes=[4, 9], target_sum=1.0), expected[:, [4, 9]])
    shares = X.toarray() / X.sum(axis=1)
    for group in range(3):
        of_group = np.asarray(shares[truth == group]).mean(axis=0)
        assert np.corrcoef(expected[truth == group].mean(axis=0), of_group)[0, 1] > 0.98


def test_simulated_cells_have_the_means_of_the_data(counts, fitted):
    X, _ = fitted.sample(np.full(2000, 300.0))
    means = np.asarray(X.mean(axis=0)).ravel() / 300
    shares = np.asarray(counts[1].sum(axis=0)).ravel() / counts[1].sum()
    assert np.corrcoef(means, shares)[0, 1] > 0.9
    assert np.array_equal(X.toarray(), fitted.sample(np.full(2000, 300.0))[0].toarray())


def test_batches_are_taken_out():
    truth, X = simulate()
    batch = np.random.default_rng(1).integers(0, 2, len(truth))
    X = X.toarray()
    X[batch == 1, :10] *= 4  # genes that one batch counts more of
    with_batch = CountVAE(3, **SMALL | {"n_epochs": 30}).fit(X, batch=batch)
    without = CountVAE(3, **SMALL | {"n_epochs": 30}).fit(X)

    def told(model):
        """Share of the 15 nearest neighbours that are of the same batch: a half where batches are mixed."""
        z = model.embedding_
        apart = ((z[:, None] - z[None]) ** 2).sum(2)
        np.fill_diagonal(apart, np.inf)
        return np.mean(batch[apart.argsort(1)[:, :15]] == batch[:, None])

    assert told(with_batch) < 0.57 < told(without)
    with pytest.raises(ParameterError, match="batch must name the batch of each row, one of 0, 1"):
        with_batch.denoise(X)
    with pytest.raises(ParameterError, match=r"of those in fit \(0, 1\), got \[7\]"):
        with_batch.denoise(X, batch=7)
    # decoded as if of one batch, the genes are not counted more in the other
    as_one = with_batch.denoise(X, batch=0)[:, :10].sum(axis=1)
    as_own = with_batch.denoise(X, batch=batch)[:, :10].sum(axis=1)
    assert as_own[batch == 1].mean() > 1.5 * as_one[batch == 1].mean()


def test_wrong_settings_and_tables_are_refused(counts, fitted):
    X = counts[1]
    for settings, said in (
        ({"n_latent": 0}, "n_latent must be in 1"),
        ({"likelihood": "normal"}, "likelihood must be one of 'nb', 'zinb', 'poisson'"),
        ({"size_factors": "none"}, "size_factors must be one of"),
        ({"precision": "double"}, "precision must be one of"),
        ({"batch_size": 1}, "batch_size must be in 2"),
    ):
        with pytest.raises(ParameterError, match=said):
            CountVAE(**settings).fit(X)
    with pytest.raises(ParameterError, match="needs counts, but X holds values that are not integers"):
        CountVAE(**SMALL).fit(X.toarray() + 0.5)
    with pytest.raises(ParameterError, match="X must have 50 columns as in fit, got 49"):
        fitted.transform(X[:, 1:])
    with pytest.raises(NotFittedError):
        CountVAE().transform(X)


def test_a_cell_without_counts_in_the_chosen_genes_is_encoded(counts):
    X = counts[1].toarray()
    X[5] = 0
    model = CountVAE(2, n_hidden=8, batch_size=32, n_epochs=2).fit(X, columns=np.arange(30))
    assert np.isfinite(model.embedding_).all()
    assert model.log_likelihood(X[5:6], n_samples=3)[0] == pytest.approx(0.0, abs=3.0)


def test_zeros_that_are_stored_change_nothing(counts, fitted):
    X = counts[1].copy()
    stored = X.copy().tolil()
    stored[0, 3] = 1
    stored = stored.tocsr()
    stored.data[np.flatnonzero(stored.indices[: stored.indptr[1]] == 3)[0]] = X[0, 3]
    np.testing.assert_array_equal(fitted.transform(stored), fitted.transform(X))
    assert np.array_equal(fitted.log_likelihood(stored[:9], n_samples=3), fitted.log_likelihood(X[:9], n_samples=3))


def test_draws_do_not_depend_on_the_blocks(counts, fitted):
    whole = fitted.log_likelihood(InMemory(counts[1], rows=360), n_samples=3)
    assert np.array_equal(whole, fitted.log_likelihood(InMemory(counts[1], rows=13), n_samples=3))


def test_a_table_without_rows_gives_empty_answers(fitted):
    none = np.zeros((0, 50), int)
    assert fitted.transform(none).shape == (0, 3)
    assert fitted.denoise(none).shape == (0, 50)
    assert fitted.log_likelihood(none).shape == (0,)


def test_genes_are_decoded_in_the_order_given(counts, fitted):
    X = counts[1][:5]
    np.testing.assert_array_equal(fitted.denoise(X, genes=[9, 4]), fitted.denoise(X)[:, [9, 4]])


def test_a_batch_that_begins_like_another_is_unknown(counts):
    names = np.where(np.arange(360) % 2, "s1", "s2")
    model = CountVAE(2, n_hidden=8, batch_size=64, n_epochs=1).fit(counts[1], batch=names)
    with pytest.raises(ParameterError, match=r"of those in fit \(s1, s2\), got \['s10'\]"):
        model.denoise(counts[1], batch="s10")


def test_a_checkpoint_without_a_folder_is_refused_before_the_training(counts, tmp_path):
    with pytest.raises(ParameterError, match="does not exist"):
        CountVAE(2, checkpoint=tmp_path / "none" / "state.safetensors").fit(counts[1])
