import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.models import CountGMVAE, CountVAE

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")

SMALL = {"n_latent": 3, "n_hidden": 24, "batch_size": 32, "n_epochs": 16}


def simulate(n=420, p=50, weights=(0.5, 0.3, 0.2), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(weights), n, p=weights)
    means = rng.gamma(0.4, 1.0, (len(weights), p)) + 1e-3
    means /= means.sum(axis=1, keepdims=True)
    return truth, rng.poisson(rng.uniform(150, 600, n)[:, None] * means[truth] * rng.gamma(4, 0.25, (n, p)))


@pytest.fixture(scope="module")
def counts():
    return simulate()


@pytest.fixture(scope="module")
def fitted(counts):
    return CountGMVAE(3, **SMALL).fit(counts[1])


def test_clusters_are_the_groups_by_descending_size(counts, fitted):
    truth, X = counts
    assert adjusted_rand_score(truth, fitted.labels_) > 0.95
    assert np.all(np.diff(np.bincount(fitted.labels_)) <= 0)
    np.testing.assert_allclose(fitted.probabilities_.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(fitted.weights_.sum(), 1, atol=1e-5)
    assert np.array_equal(fitted.predict(X), fitted.labels_)
    assert [row["phase"] for row in fitted.history_][-1] == "clusters"


def test_expression_of_clusters_is_that_of_their_cells(counts, fitted):
    _, X = counts
    np.testing.assert_allclose(np.exp(fitted.log_mean_).sum(axis=1), 1, rtol=1e-4)
    shares = X / X.sum(axis=1, keepdims=True)
    for k in range(3):
        assert np.corrcoef(np.exp(fitted.log_mean_[k]), shares[fitted.labels_ == k].mean(axis=0))[0, 1] > 0.98


@pytest.mark.parametrize("dispersion", ["gene", "gene_cluster"])
def test_equal_seeds_give_equal_bits_for_every_cut(counts, dispersion):
    given = {**SMALL, "n_epochs": 4, "dispersion": dispersion}
    whole = CountGMVAE(3, **given).fit(counts[1], execution=Execution(threads=1))
    cut = CountGMVAE(3, **given).fit(InMemory(counts[1], rows=11), execution=Execution(threads=2, memory=2**20))
    assert np.array_equal(whole.probabilities_, cut.probabilities_)
    assert np.array_equal(whole.log_mean_, cut.log_mean_)


def test_an_interrupted_training_goes_on_to_the_same_bits(counts, fitted, tmp_path, monkeypatch):
    from kithkin.models.latent import training

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    epoch, path = training.Training._epoch, tmp_path / "state.safetensors"

    def interrupted(self, phase, number):
        if phase.name == "clusters" and number == 3:
            raise KeyboardInterrupt
        epoch(self, phase, number)

    monkeypatch.setattr(training.Training, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        CountGMVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    monkeypatch.setattr(training.Training, "_epoch", epoch)
    resumed = CountGMVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    assert np.array_equal(resumed.probabilities_, fitted.probabilities_)


def test_labels_of_some_cells_are_carried_over(counts):
    truth, X = counts
    names = np.array(["b", "a", "c"])[truth].astype(object)
    some = names.copy()
    hidden = np.random.default_rng(1).random(len(names)) > 0.1
    some[hidden] = None
    model = CountGMVAE(None, **SMALL).fit(X, labels=some)
    assert model.classes_.tolist() == ["a", "b", "c"]
    found = model.classes_[model.labels_]
    assert np.mean(found[hidden] == names[hidden]) > 0.95
    assert np.array_equal(found[~hidden], names[~hidden])


def test_a_further_cluster_takes_a_kind_without_labels(counts):
    truth, X = counts
    some = np.where(truth == 0, None, np.array(["", "a", "c"], object)[truth])
    model = CountGMVAE(3, **SMALL).fit(X, labels=some)
    assert model.classes_.tolist() == ["a", "c", "cluster 1"]
    assert np.mean(model.labels_[truth == 0] == 2) > 0.9


@pytest.mark.parametrize("kind", ["labels", "responsibilities"])
def test_clusters_start_from_what_is_given(counts, kind):
    truth, X = counts
    given = np.where(np.arange(len(truth)) % 7 == 0, -1, (truth + 1) % 3)
    given = given if kind == "labels" else np.eye(3)[(truth + 1) % 3] * 0.9 + 0.05
    model = CountGMVAE(3, init=given, **SMALL).fit(X)
    assert adjusted_rand_score(truth, model.labels_) > 0.95
    with pytest.raises(ParameterError, match="init must have 420 rows"):
        CountGMVAE(3, init=given[1:], **SMALL).fit(X)


def test_a_saved_model_answers_alike(counts, fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = CountGMVAE.load(tmp_path / "model.safetensors", device="cpu")
    assert np.array_equal(loaded.predict_proba(counts[1]), fitted.predict_proba(counts[1]))
    np.testing.assert_allclose(loaded.log_mean_, fitted.log_mean_)
    with pytest.raises(FormatError, match="does not hold a CountVAE"):
        CountVAE.load(tmp_path / "model.safetensors")


def test_simulated_cells_are_clustered_as_drawn(fitted):
    X, drawn = fitted.sample(np.full(300, 400.0), seed=2)
    assert np.mean(fitted.predict(X) == drawn) > 0.9


def test_wrong_settings_are_refused(counts):
    X = counts[1]
    for settings, labels, said in (
        ({"n_clusters": None}, None, "n_clusters must be a number"),
        ({"n_clusters": 0}, None, "n_clusters must be in 1"),
        ({"n_clusters": 400}, None, "n_clusters must be in 1"),
        ({"n_epochs": 1}, None, "n_epochs must be in 2"),
        ({"init": np.full(420, -1)}, None, "init must name a cluster for a row"),
        ({"n_clusters": 1}, np.array(["a", "b"] * 210), "n_clusters must be in 2"),
        ({"n_clusters": 2}, np.array(["a"] * 3), "labels must hold 420 entries, got 3"),
        ({"dispersion": "cell"}, None, "dispersion must be one of 'gene', 'gene_cluster'"),
    ):
        with pytest.raises(ParameterError, match=said):
            CountGMVAE(**{**SMALL, "n_clusters": 3, **settings}).fit(X, labels=labels)


def test_classes_keep_their_order_and_names(counts):
    truth, X = counts
    names = np.array(["T1", "T10", "cluster 1"])[truth].astype(object)
    model = CountGMVAE(4, **SMALL | {"n_epochs": 2}).fit(X, labels=names)
    assert model.classes_.tolist() == ["T1", "T10", "cluster 1", "cluster 2"]
    ordered = pd.Categorical(names, ["cluster 1", "T10", "T1"])
    again = CountGMVAE(None, **SMALL | {"n_epochs": 2}).fit(X, labels=ordered)
    assert again.classes_.tolist() == ["cluster 1", "T10", "T1"]
    assert np.array_equal(again.classes_[again.labels_], names)


@pytest.mark.parametrize("number", [0, 1])
def test_a_training_goes_on_from_the_border_of_its_phases(counts, tmp_path, monkeypatch, number):
    from kithkin.models.latent import training

    whole = CountGMVAE(3, **SMALL).fit(counts[1])
    epoch, path = training.Training._epoch, tmp_path / "state.safetensors"

    def interrupted(self, phase, at):
        if phase.name == "clusters" and at == number:
            raise KeyboardInterrupt
        epoch(self, phase, at)

    monkeypatch.setattr(training.Training, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        CountGMVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    assert path.exists()  # written as the first phase ended
    monkeypatch.setattr(training.Training, "_epoch", epoch)
    resumed = CountGMVAE(3, **SMALL, checkpoint=path).fit(counts[1])
    assert np.array_equal(resumed.probabilities_, whole.probabilities_)


def test_a_model_with_numbers_of_numpy_is_saved(counts, tmp_path):
    model = CountGMVAE(np.int64(3), **SMALL | {"n_epochs": 2}).fit(counts[1])
    model.save(tmp_path / "model.safetensors")
    assert CountGMVAE.load(tmp_path / "model.safetensors").n_clusters == 3
